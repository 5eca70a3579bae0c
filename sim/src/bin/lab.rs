//! `npm run lab`: writes the histories of the consistency lab into a folder.

use std::path::PathBuf;
use std::process::ExitCode;

use edge_session_sim::lab;

fn main() -> ExitCode {
    let Some(folder) = std::env::args().nth(1).map(PathBuf::from) else {
        eprintln!("usage: lab FOLDER");
        return ExitCode::from(2);
    };
    for (name, text) in lab::files() {
        if let Err(error) = std::fs::write(folder.join(name), text) {
            eprintln!("{name}: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
