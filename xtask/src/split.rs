//! The program in parts: the functions that web-ui marks with `#[wasm_split]` lie in files of their own, with all that
//! they alone reach, and are fetched when they are first called.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use wasm_encoder::{Module, RawSection};
use wasm_split_cli_support::{Options, transform};
use wasmparser::{Parser, Payload};

use crate::compiler::remove;

/// The module that fetches the parts, as the program imports it.
pub(crate) const LINK: &str = "./parts.js";
/// The program's own module, as the one that fetches the parts imports it.
pub(crate) const MODULE: &str = "./app.js";

/// A program in parts.
pub(crate) struct Split {
    /// What starts.
    pub(crate) main: Vec<u8>,
    /// The others, by the names that `link` has for them, without `.wasm`.
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
    let mut parts = BTreeMap::new();
    for path in split.split_modules {
        let name = path.file_stem().context("a part has no name")?.to_string_lossy().into_owned();
        parts.insert(name, without_names(&fs::read(&path)?).context("a part is no WebAssembly")?);
    }
    let link = fs::read_to_string(folder.join(LINK))?;
    Ok(Split { main: fs::read(&main)?, parts, link })
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
