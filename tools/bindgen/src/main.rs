//! Runs wasm-bindgen as a library, so that Cargo.lock pins it and nothing has to be
//! installed beside the toolchain: `cargo install wasm-bindgen-cli` takes ten times as long.

use std::path::Path;

use anyhow::{Result, bail};
use wasm_bindgen_cli_support::Bindgen;

const USAGE: &str = "usage: edge-session-bindgen <input.wasm> <out-dir> <out-name> \
                     <web|module|nodejs> [--typescript] [--test]";

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (flags, places): (Vec<&str>, Vec<&str>) = args
        .iter()
        .map(String::as_str)
        .partition(|arg| arg.starts_with("--"));
    let [input, out_dir, out_name, target] = places[..] else {
        bail!(USAGE);
    };

    let mut bindgen = Bindgen::new();
    bindgen.input_path(Path::new(input)).out_name(out_name);
    match target {
        "web" => bindgen.web(true)?,
        "module" => bindgen.module(true)?,
        "nodejs" => bindgen.nodejs(true)?,
        other => bail!("unknown target `{other}`\n{USAGE}"),
    };
    bindgen
        .remove_producers_section(true)
        .remove_name_section(true);
    for flag in flags {
        match flag {
            "--typescript" => bindgen.typescript(true),
            // A test binary: its `main` is libtest's, which cannot run in wasm, so nothing
            // starts by itself; names are kept for the stack traces of failing tests.
            "--test" => bindgen.emit_start(false).remove_name_section(false),
            other => bail!("unknown flag `{other}`\n{USAGE}"),
        };
    }
    bindgen.generate(out_dir)
}
