//! The program in parts: the functions that web-ui marks with `#[wasm_split]` are fetched when they are first called.
//!
//! The splitter makes a module of what one function alone reaches, and one for every set of functions that share something,
//! which are hundreds. The file of a part has all that it needs, one after another: that is one request, and compresses
//! better, and what several parts need lies in the file of each.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use wasm_encoder::{Module, RawSection};
use wasm_split_cli_support::{Options, transform};
use wasmparser::{Parser, Payload};

use crate::compiler::remove;

/// Cuts the files of parts into their modules.
const CUT: &str = include_str!("parts.js");
/// What stands before the name of a part in the splitter's script.
const LOAD: &str = "export const __wasm_split_load_";

/// The module that fetches the parts, as the program imports it.
pub(crate) const LINK: &str = "./parts.js";
/// The program's own module, as the one that fetches the parts imports it.
pub(crate) const MODULE: &str = "./app.js";

/// A program in parts.
pub(crate) struct Split {
    /// What starts.
    pub(crate) main: Vec<u8>,
    /// The others, by the names that `link` has for them, without `.bin`.
    pub(crate) parts: BTreeMap<String, Vec<u8>>,
    /// JavaScript that fetches them.
    pub(crate) link: String,
}

/// Splits a program that was linked with `--emit-relocs`. `folder` is made anew.
pub(crate) fn split(wasm: &[u8], folder: &Path) -> Result<Split> {
    remove(folder)?;
    fs::create_dir_all(folder)?;
    let main = folder.join("main.wasm");
    let mut options = Options::new(wasm);
    options.output_dir = folder;
    options.main_out_path = &main;
    options.link_name = LINK;
    options.main_module = MODULE;
    let split = transform(options).map_err(|error| anyhow!("the program cannot be split: {error:#}"))?;
    let mut modules = BTreeMap::new();
    for path in split.split_modules {
        let name = path.file_stem().context("a part has no name")?.to_string_lossy().into_owned();
        modules.insert(name, without_names(&fs::read(&path)?).context("a part is no WebAssembly")?);
    }
    let (parts, link) = pack(&modules, &fs::read_to_string(folder.join(LINK))?)?;
    Ok(Split { main: fs::read(&main)?, parts, link })
}

/// The file of each part, and the script that takes the modules from these.
fn pack(modules: &BTreeMap<String, Vec<u8>>, script: &str) -> Result<(BTreeMap<String, Vec<u8>>, String)> {
    let mut parts = BTreeMap::new();
    let mut loads = script.split(LOAD);
    let mut link = loads.next().unwrap_or_default().to_owned();
    for load in loads {
        // `usage = wrapAsyncCb(makeLoad(() => { ... }\n, [__chunk_1, __chunk_2]));`
        let (name, _) = load.split_once(' ').context("a part has no name")?;
        let (fetched, waits) = load.rsplit_once(", [").context("a part does not say what it needs")?;
        let (shared, _) = waits.split_once(']').context("a part does not say what it needs")?;
        let shared = shared.split(", ").map(|chunk| chunk.trim_start_matches("__").to_owned());
        let mut file = Vec::new();
        let mut sizes = String::new();
        for module in shared.chain([format!("split_{name}")]) {
            if let Some(content) = modules.get(&module) {
                write!(sizes, "[\"{module}\", {}], ", content.len())?;
                file.extend_from_slice(content);
            }
        }
        // What a part needs is waited for in this order, so its file is asked for first.
        write!(link, "{LOAD}{fetched}, [() => fetchPart(\"./{name}.bin\", [{sizes}]), {waits}")?;
        parts.insert(name.to_owned(), file);
    }
    for name in modules.keys() {
        link = link
            .replace(&format!("fetch(new URL(\"./{name}.wasm\", import.meta.url))"), &format!("module(\"{name}\")"));
    }
    if parts.is_empty() || link.contains(".wasm\"") {
        bail!("the splitter writes its script in another way");
    }
    Ok((parts, link + CUT))
}

/// A module without the names of its functions, which only people read.
fn without_names(wasm: &[u8]) -> Result<Vec<u8>> {
    let mut kept = Module::new();
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload?;
        let is_names = matches!(&payload, Payload::CustomSection(section) if section.name() == "name");
        if let Some((id, range)) = payload.as_section().filter(|_| !is_names) {
            let content = wasm.get(usize::try_from(range.start)?..usize::try_from(range.end)?);
            kept.section(&RawSection { id, data: content.context("a section ends behind its module")? });
        }
    }
    Ok(kept.finish())
}
