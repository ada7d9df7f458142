//! `bankside sandbox`: the simulated banks alone, with the files that a sidecar in another process needs.

use std::path::PathBuf;

use clap::Parser;

use crate::sandbox::{Listens, Options, Sandbox};

use super::signals::EndSignals;
use super::{Outcome, output};

#[derive(Debug, Parser)]
pub(super) struct Args {
    /// Where certificates, secrets and a bankside.toml are written
    #[arg(long, default_value = "sandbox", value_name = "DIR")]
    dir: PathBuf,
    /// The port of the simulated iCard; 0 takes a free one
    #[arg(long, default_value_t = 0, value_name = "N")]
    icard_port: u16,
    /// The port of the simulated Czech National Bank; 0 takes a free one
    #[arg(long, default_value_t = 0, value_name = "N")]
    cnb_port: u16,
}

pub(super) fn run(args: &Args) -> Outcome {
    super::block_on(async {
        let mut signals = EndSignals::listen_to_all()?;
        let mut options = Options::default();
        options.icard.port = args.icard_port;
        options.cnb.port = args.cnb_port;
        let sandbox = Sandbox::start(options).await?;
        let files = sandbox.write_to(&args.dir, &Listens::default())?;
        let config = files.config.display();
        output::print(&format!(
            "The simulated banks run. In another terminal:\n\n  bankside login icard -c {config}\n  \
             bankside login cnb aisp -c {config}\n  bankside login cnb pisp -c {config}\n  bankside run -c {config}\n\n\
             Their certificates are not known to your browser: let it go on. Ctrl-C ends the banks."
        ))?;
        signals.next().await;
        sandbox.stop().await;
        Ok(())
    })
}
