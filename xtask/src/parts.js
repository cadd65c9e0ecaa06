
// A part lies in one file with all that it shares with others: `makeLoad` runs each module once, whatever brought it.
const modules = new Map();

function fetchPart(path, sizes) {
    const file = fetch(new URL(path, import.meta.url)).then((answer) => {
        if (!answer.ok) {
            throw new Error(`${path} is answered with ${answer.status}`);
        }
        return answer.arrayBuffer();
    });
    let end = 0;
    for (const [name, size] of sizes) {
        const begin = end;
        end += size;
        const headers = { "Content-Type": "application/wasm" };
        modules.set(name, async () => new Response((await file).slice(begin, begin + size), { headers }));
    }
    return file;
}

function module(name) {
    return modules.get(name)();
}
