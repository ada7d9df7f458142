//! `bankside man`: manual pages, made of what `--help` says.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Command, Parser};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::Outcome;

#[derive(Debug, Parser)]
pub(super) struct Args {
    /// Writes the pages of all commands into this folder, and prints none
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
}

pub(super) fn run(args: &Args, program: Command) -> Outcome {
    if let Some(folder) = &args.dir {
        fs::create_dir_all(folder)
            .and_then(|()| clap_mangen::generate_to(program, folder))
            .with_context(|| format!("the pages cannot be written into {}", folder.display()))?;
        return Ok(());
    }
    let mut out = std::io::stdout().lock();
    Man::new(program).render(&mut out)?;
    more().to_writer(&mut out)?;
    Ok(())
}

/// What is the same for all commands, and no help of one.
fn more() -> Roff {
    let mut page = Roff::new();
    page.control("SH", ["EXIT STATUS"]);
    for (code, meaning) in [
        ("0", "done"),
        ("1", "it did not work"),
        ("2", "wrong usage"),
        ("78", "the configuration is wrong: every problem is told on standard error"),
    ] {
        page.control("TP", []).text([bold(code)]).text([roman(meaning)]);
    }
    page.control("SH", ["FILES"]);
    for (file, meaning) in [
        ("./bankside.toml", "the configuration, if it is there"),
        ("/etc/bankside/bankside.toml", "the configuration otherwise"),
    ] {
        page.control("TP", []).text([bold(file)]).text([roman(meaning)]);
    }
    page
}
