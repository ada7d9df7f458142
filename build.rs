//! Lists `config/banks/*.toml`, the built-in profiles, so that a bank is a file and no code names it.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=config/banks");
    let root = env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?;
    let out = env::var("OUT_DIR").map_err(io::Error::other)?;

    let mut files: Vec<PathBuf> = fs::read_dir(PathBuf::from(&root).join("config/banks"))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<_>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();

    let mut list = String::from("&[\n");
    for path in files {
        let name = path.file_stem().and_then(|stem| stem.to_str()).ok_or(io::ErrorKind::InvalidData)?;
        let file = path.to_str().ok_or(io::ErrorKind::InvalidData)?;
        writeln!(list, "    ({name:?}, include_str!({file:?})),").map_err(io::Error::other)?;
    }
    list.push_str("]\n");
    fs::write(PathBuf::from(out).join("profiles.rs"), list)
}
