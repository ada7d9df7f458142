//! Lists `config/banks/*.toml`, the built-in profiles, so that a bank is a file and no code names it; and has the linker
//! make a program of which less is in memory: what a life runs lies side by side, and relocations are packed.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(variable("OUT_DIR")?);
    list_profiles(&root, &out)?;
    println!("cargo::rerun-if-env-changed=RUSTFLAGS");
    if variable("PROFILE")? == "release" && variable("CARGO_CFG_TARGET_OS")? == "linux" {
        order_functions(&root, &out)?;
        pack_relocations(&out)?;
    }
    Ok(())
}

fn list_profiles(root: &Path, out: &Path) -> io::Result<()> {
    println!("cargo::rerun-if-changed=config/banks");
    let mut files: Vec<PathBuf> = fs::read_dir(root.join("config/banks"))?
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
    fs::write(out.join("profiles.rs"), list)
}

/// Gives the linker `layout/order.ld`, of which `layout/make` says what it is for. Without it the program does the same.
fn order_functions(root: &Path, out: &Path) -> io::Result<()> {
    println!("cargo::rerun-if-changed=layout/order.ld");
    let order = root.join("layout/order.ld");
    if !order.exists() {
        return Ok(());
    }
    let argument = format!("-Wl,-T,{}", order.to_str().ok_or(io::ErrorKind::InvalidData)?);
    if link_empty(&argument, out)?.is_some() {
        println!("cargo::rustc-link-arg-bins={argument}");
    } else {
        println!("cargo::warning=the linker cannot order functions (GNU ld and lld can): more memory will be resident");
    }
    Ok(())
}

/// Packs what the loader adapts to the program's place: half a megabyte otherwise, of which all is read at the start. The
/// loader has to know the packed form (glibc from 2.36 on, musl from 1.2.4 on), so an empty program is tried.
fn pack_relocations(out: &Path) -> io::Result<()> {
    let argument = "-Wl,-z,pack-relative-relocs";
    let Some(empty) = link_empty(argument, out)? else { return Ok(()) };
    // What is built for another machine cannot be tried: it stays as everyone can load it.
    if Command::new(empty).stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
    Ok(())
}

/// An empty program that is linked so, if it can be.
fn link_empty(argument: &str, out: &Path) -> io::Result<Option<PathBuf>> {
    let (source, program) = (out.join("empty.rs"), out.join("empty"));
    fs::write(&source, "fn main() {}\n")?;
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let linker = env::var("RUSTC_LINKER").map(|linker| format!("-Clinker={linker}"));
    let status = Command::new(variable("RUSTC")?)
        .args(["--crate-type", "bin", "--target", &variable("TARGET")?])
        .args(flags.split('\x1f').filter(|flag| !flag.is_empty()))
        .args(linker.ok())
        .arg(format!("-Clink-arg={argument}"))
        .arg("-o")
        .arg(&program)
        .arg(source)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    Ok(status.success().then_some(program))
}

fn variable(name: &str) -> io::Result<String> {
    env::var(name).map_err(|error| io::Error::other(format!("{name}: {error}")))
}
