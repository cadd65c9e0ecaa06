//! The bundle: what the compiler left, split into parts and bound to JavaScript, with styles and static files, each with
//! a hash of its content in its name, and each beside itself in brotli and gzip.
//!
//! `assets/` has what never changes under its name. `index.html` and the other static files keep theirs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, Result, anyhow, bail};
use sha2::{Digest, Sha256};
use wasm_bindgen_cli_support::Bindgen;

use crate::compiler::remove;
use crate::compress::Encoded;
use crate::split::{self, LINK, MODULE, Split};
use crate::web::Mode;

/// Says what the bundle was made of, so that it is made again only when that has changed.
const STAMP: &str = ".made-of";
/// The page, and the script that starts the application in it: their placeholders are filled in.
const PAGE: &str = "index.html";
const START: &str = "start.js";

/// What has happened.
pub(crate) enum Written {
    /// Nothing was to be done.
    AsItWas,
    /// The bundle is new; its sizes as a table.
    Anew(String),
}

/// Files by their path in the bundle.
type Files = BTreeMap<String, Vec<u8>>;

/// Makes the bundle of a compiled dashboard and of the files of `source`, and puts it in the place of `dist`.
pub(crate) fn write(mode: Mode, compiled: &Path, source: &Path, dist: &Path) -> Result<Written> {
    let wasm = fs::read(compiled).with_context(|| compiled.display().to_string())?;
    let style = style(&source.join("style"))?;
    let mut given = Files::new();
    read_below(&source.join("static"), "", &mut given)?;
    let stamp = stamp(mode, &wasm, &style, &given)?;
    if fs::read_to_string(dist.join(STAMP)).is_ok_and(|found| found == stamp) {
        return Ok(Written::AsItWas);
    }
    let split = split::split(&wasm, &compiled.with_extension("split"))?;
    let files = assemble(mode, split, style, given)?;
    let encoded = encode(files, mode)?;
    let new = dist.with_extension("new");
    remove(&new)?;
    for (path, encoded) in &encoded {
        save(&new, path, encoded)?;
    }
    fs::write(new.join(STAMP), stamp)?;
    replace(dist, &new)?;
    Ok(Written::Anew(sizes(&encoded)?))
}

/// The style sheets as one, in the order of their names.
fn style(folder: &Path) -> Result<String> {
    let mut sheets = Files::new();
    read_below(folder, "", &mut sheets)?;
    let mut whole = String::new();
    for (name, content) in sheets {
        if name.ends_with(".css") {
            whole.push_str(&String::from_utf8(content).with_context(|| name.clone())?);
            whole.push('\n');
        }
    }
    Ok(whole)
}

fn read_below(folder: &Path, prefix: &str, files: &mut Files) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    for entry in entries {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            read_below(&entry.path(), &format!("{name}/"), files)?;
        } else if !entry.file_name().to_string_lossy().starts_with('.') {
            files.insert(name, fs::read(entry.path())?);
        }
    }
    Ok(())
}

/// Of everything that goes into the bundle, and of the program that makes it.
fn stamp(mode: Mode, wasm: &[u8], style: &str, given: &Files) -> Result<String> {
    // Another build in the same target folder may have replaced the file; where there is this path, it leads to what runs.
    let program = fs::metadata("/proc/self/exe").or_else(|_| fs::metadata(std::env::current_exe()?))?;
    let mut hasher = Sha256::new();
    hasher.update(format!("{mode:?} {} {:?}", program.len(), program.modified()?));
    for (name, content) in given {
        hasher.update(format!("{name} {}", content.len()));
        hasher.update(content);
    }
    hasher.update(style);
    hasher.update(wasm);
    Ok(hex(&hasher.finalize()))
}

/// The bundle's files, with their names and with the placeholders filled in.
fn assemble(mode: Mode, split: Split, style: String, mut given: Files) -> Result<Files> {
    let mut files = Files::new();
    let bound = bind(mode, split.main)?;
    let wasm = asset(&mut files, "app", "wasm", bound.wasm);
    let mut script = bound.script;
    for (path, content) in bound.snippets {
        let named = asset(&mut files, "snippet", "js", content.into_bytes());
        script = script.replace(&format!("./snippets/{path}"), &named);
    }
    // For whoever starts it without saying where the program lies.
    let script = script.replace("web_ui_bg.wasm", &wasm);
    let mut link = split.link;
    for (name, content) in split.parts {
        let named = asset(&mut files, &format!("part_{name}"), "bin", content);
        link = link.replace(&format!("./{name}.bin"), &named);
    }
    let module = pair(&mut files, script, link)?;
    let style = asset(&mut files, "style", "css", style.into_bytes());
    let known = [("wasm", wasm), ("module", module), ("style", style)];
    let start = given.remove(START).with_context(|| format!("static/{START} is missing"))?;
    let start = fill(START, start, &known)?;
    let script = asset(&mut files, "start", "js", start);
    let [wasm, module, style] = known;
    let page = given.remove(PAGE).with_context(|| format!("static/{PAGE} is missing"))?;
    let page = fill(PAGE, page, &[wasm, module, style, ("script", script)])?;
    files.insert(PAGE.to_owned(), page);
    // Worklets and icons are asked for by names that the program knows.
    files.extend(given);
    Ok(files)
}

/// Adds the program's module and the one that fetches its parts. Each imports the other, so one hash names both. Gives
/// the path of the former.
fn pair(files: &mut Files, script: String, link: String) -> Result<String> {
    let imported = format!("from \"{LINK}\"");
    if !script.contains(&imported) {
        bail!("the program's module does not import {LINK}");
    }
    let hash = hash(format!("{script}{link}").as_bytes());
    let script = script.replace(&imported, &format!("from \"./parts-{hash}.js\""));
    let link = link.replace(MODULE, &format!("./app-{hash}.js"));
    files.insert(format!("assets/parts-{hash}.js"), link.into_bytes());
    files.insert(format!("assets/app-{hash}.js"), script.into_bytes());
    Ok(format!("/assets/app-{hash}.js"))
}

/// What wasm-bindgen makes of the compiler's output.
struct Bound {
    wasm: Vec<u8>,
    script: String,
    snippets: Vec<(String, String)>,
}

fn bind(mode: Mode, wasm: Vec<u8>) -> Result<Bound> {
    let mut bindgen = Bindgen::new();
    bindgen.input_bytes("web_ui", wasm).web(true)?.typescript(false).omit_default_module_path(false);
    bindgen.remove_name_section(mode == Mode::Release).remove_producers_section(mode == Mode::Release);
    // The parts ask the program for things by their symbols.
    bindgen.keep_lld_exports(true).demangle(false);
    let mut output = bindgen.generate_output()?;
    let mut snippets: Vec<(String, String)> =
        output.local_modules().iter().map(|(path, content)| (path.clone(), content.clone())).collect();
    for (folder, inline) in output.snippets() {
        let named = inline.iter().enumerate();
        snippets.extend(named.map(|(at, content)| (format!("{folder}/inline{at}.js"), content.clone())));
    }
    let script = output.js().to_owned();
    Ok(Bound { wasm: output.wasm_mut().emit_wasm(), script, snippets })
}

/// Adds a file whose name says what is in it, and gives the path that a page asks for.
fn asset(files: &mut Files, name: &str, extension: &str, content: Vec<u8>) -> String {
    let path = format!("assets/{name}-{}.{extension}", hash(&content));
    files.insert(path.clone(), content);
    format!("/{path}")
}

fn hash(content: &[u8]) -> String {
    hex(&Sha256::digest(content)).chars().take(16).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// Fills in `{{name}}`.
fn fill(file: &str, content: Vec<u8>, known: &[(&str, String)]) -> Result<Vec<u8>> {
    let mut text = String::from_utf8(content).with_context(|| format!("static/{file}"))?;
    for (name, value) in known {
        text = text.replace(&format!("{{{{{name}}}}}"), value);
    }
    match text.split_once("{{").and_then(|(_, rest)| rest.split_once("}}")) {
        Some((name, _)) => {
            let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            bail!("static/{file}: nothing is known for {{{{{name}}}}}, only for {}", names.join(", "))
        }
        None => Ok(text.into_bytes()),
    }
}

/// The large ones take seconds, so each has a thread.
fn encode(files: Files, mode: Mode) -> Result<BTreeMap<String, Encoded>> {
    thread::scope(|scope| {
        let running: Vec<_> = files
            .into_iter()
            .map(|(path, content)| {
                let name = path.clone();
                (path, scope.spawn(move || Encoded::of(&name, content, mode)))
            })
            .collect();
        let joined = running.into_iter().map(|(path, thread)| {
            let encoded = thread.join().map_err(|_| anyhow!("{path} cannot be compressed"))??;
            Ok((path, encoded))
        });
        joined.collect()
    })
}

fn save(folder: &Path, path: &str, encoded: &Encoded) -> Result<()> {
    let path = folder.join(path);
    fs::create_dir_all(path.parent().unwrap_or(folder))?;
    let beside = |extension: &str| PathBuf::from(format!("{}.{extension}", path.display()));
    fs::write(&path, &encoded.plain)?;
    if let Some(brotli) = &encoded.brotli {
        fs::write(beside("br"), brotli)?;
    }
    if let Some(gzip) = &encoded.gzip {
        fs::write(beside("gz"), gzip)?;
    }
    Ok(())
}

/// Puts the new bundle where the old one was: nobody finds one that is half there.
fn replace(dist: &Path, new: &Path) -> Result<()> {
    let old = dist.with_extension("old");
    remove(&old)?;
    if dist.exists() {
        fs::rename(dist, &old)?;
    }
    fs::rename(new, dist)?;
    remove(&old)
}

/// A line for each file, and what a first visit transfers.
fn sizes(files: &BTreeMap<String, Encoded>) -> Result<String> {
    let kib = |bytes: usize| format!("{}.{} KiB", bytes / 1024, bytes % 1024 * 10 / 1024);
    let mut table = String::new();
    let mut total = 0;
    for (path, Encoded { plain, brotli, gzip }) in files {
        let encoded = |encoded: &Option<Vec<u8>>| encoded.as_ref().map_or(plain.len(), Vec::len);
        total += encoded(brotli);
        let (plain, gzip, brotli) = (kib(plain.len()), kib(encoded(gzip)), kib(encoded(brotli)));
        writeln!(table, "  {path:<36} {plain:>12}   gzip {gzip:>11}   brotli {brotli:>11}")?;
    }
    writeln!(table, "  {:<36} {:>12}        {:>11}   brotli {:>11}", "all", "", "", kib(total))?;
    Ok(table)
}
