//! Runs wasm-bindgen as a library, so that Cargo.lock pins it and nothing has to be
//! installed beside the toolchain: `cargo install wasm-bindgen-cli` takes ten times as long.

use std::path::Path;

use anyhow::{Result, bail, ensure};
use walrus::{FunctionBuilder, FunctionKind, Module, ModuleConfig};
use wasm_bindgen_cli_support::Bindgen;

const USAGE: &str = "usage: edge-session-bindgen <input.wasm> <out-dir> <out-name> \
                     <web|module|nodejs> [--typescript] [--test] [--trap-panics] [--names]";

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
            "--names" => bindgen.remove_name_section(false),
            "--trap-panics" => bindgen.input_module(out_name, trapping(Path::new(input))?),
            other => bail!("unknown flag `{other}`\n{USAGE}"),
        };
    }
    bindgen.generate(out_dir)
}

/// The functions of the standard library that panic, or that only a panic calls, to say what it is
/// about. None of ours prints a char or a range by its `Debug`.
const PANICS: &[&str] = &[
    "<char as core::fmt::Debug>",
    "<core::ops::range::Range<usize> as core::fmt::Debug>",
    "<std::panicking::panic_handler::",
    "<std::thread::local::AccessError as ",
    "alloc::alloc::handle_alloc_error",
    "alloc::raw_vec::capacity_overflow",
    "alloc::raw_vec::handle_error",
    "core::cell::panic_already",
    "core::option::expect_failed",
    "core::option::unwrap_failed",
    "core::panicking::",
    "core::result::unwrap_failed",
    "core::slice::index::slice_index_fail",
    "core::str::slice_error_fail",
    "std::panicking::panic_handler",
    "std::panicking::panic_with_hook",
    "std::thread::local::panic_access_error",
];

/// The wasm in which a panic is a trap at once. A panic ends in a trap anyway; the message that is
/// made before goes to a standard error that wasm in a browser or a Worker does not have.
fn trapping(wasm: &Path) -> Result<Module> {
    let mut module = ModuleConfig::new()
        .generate_producers_section(false)
        .parse_file(wasm)?;
    let mut trapped = 0;
    let Module { funcs, types, .. } = &mut module;
    for function in funcs.iter_mut() {
        let name = function.name.as_deref().unwrap_or_default();
        // Without the hash that tells one copy of a function from another.
        let name = format!("{:#}", rustc_demangle::demangle(name));
        let FunctionKind::Local(local) = &mut function.kind else {
            continue;
        };
        if !PANICS.iter().any(|panic| name.starts_with(panic)) {
            continue;
        }
        let ty = types.get(local.ty());
        let (params, results) = (ty.params().to_vec(), ty.results().to_vec());
        let mut body = FunctionBuilder::new(types, &params, &results);
        body.func_body().unreachable();
        *local = body.local_func(local.args.clone());
        trapped += 1;
    }
    ensure!(
        trapped > 0,
        "no function of the wasm has the name of a panic"
    );
    Ok(module)
}
