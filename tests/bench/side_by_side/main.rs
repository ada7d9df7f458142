//! bankside beside nginx and haproxy, as far as they are installed, in one run on one machine:
//!
//! ```text
//! cargo bench --bench side_by_side
//! cargo bench --bench side_by_side -- --rounds 5 --seconds 3 --workers 1,2 --only peers,workers
//! ```
//!
//! All do the same job: HTTP/1.1 from the app; to the bank mutual TLS, its name checked, `Authorization` set,
//! connections kept. The bank is an nginx with throw-away certificates. Each proxy has a core to itself for each
//! worker; bank and load share all others, so that neither waits while the other's cores rest; four cores are the
//! least. They take turns, and the medians of the rounds are printed: on a busy machine ratios mean more than numbers,
//! and processor time a request more than requests a second. Memory is what is resident (`VmRSS`); with nginx, what
//! master and workers share counts for each. Where the bank or the load was busy all the time, it is they who set the
//! pace, and more could be had. Programs of one worker each tell what as many workers could do at best, since they share
//! nothing. How cost grows with grants is tests/scale.rs'.

#![cfg(target_os = "linux")]
#![allow(clippy::expect_used, clippy::panic, reason = "a benchmark fails by panicking")]
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::cast_precision_loss, reason = "it tells numbers")]

mod confs;
mod load;
mod process;
mod trust;

use std::process::{Command, Stdio};
use std::time::Duration;

use clap::Parser;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use confs::{Kind, Subject};
use load::Figures;
use process::{Bank, Proxy};

/// bankside beside its peers: requests a second, processor time and memory
#[derive(Parser)]
struct Args {
    /// How often each is measured
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How long each time
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Numbers of workers to be compared
    #[arg(long, value_delimiter = ',', default_value = "1,2")]
    workers: Vec<usize>,
    /// Only these tables: peers, workers, connections, routes, banks
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// What cargo says
    #[arg(long, hide = true)]
    bench: bool,
}

/// What is measured as one line of a table.
struct Case {
    label: String,
    subject: Subject,
    connections: usize,
}

fn main() {
    let args = Args::parse();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let most = args.workers.iter().copied().max().unwrap_or(1);
    if cores < most + 2 {
        eprintln!("{cores} cores are too few for {most} workers, bank and load: ratios will be wrong");
    }
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(1 << 20), hard).expect("a limit");
    // Before there is another thread: the load keeps away from the workers' cores.
    process::pin_self(&(most.min(cores - 1)..cores));
    let installed: Vec<Kind> = [Kind::Nginx, Kind::Haproxy { http2: false }, Kind::Haproxy { http2: true }]
        .into_iter()
        .filter(|kind| is_installed(kind.program()))
        .collect();
    assert!(installed.contains(&Kind::Nginx), "the bank is an nginx: please install it");
    for (name, title, cases) in tables(&args, &installed) {
        if args.only.is_empty() || args.only.iter().any(|only| only == name) {
            measure(&args, cores, title, &cases);
        }
    }
}

fn is_installed(program: &str) -> bool {
    let found = Command::new(program).arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        eprintln!("left out: {program} is not installed");
    }
    found
}

const OURS: [Kind; 2] = [Kind::Bankside { http2: false }, Kind::Bankside { http2: true }];

fn tables(args: &Args, peers: &[Kind]) -> Vec<(&'static str, &'static str, Vec<Case>)> {
    let all: Vec<Kind> = peers.iter().chain(&OURS).copied().collect();
    let case = |label: String, kind, connections, change: fn(&mut Subject, usize), value| {
        let mut subject = Subject { kind, programs: 1, workers: 1, routes: 1, banks: 1 };
        change(&mut subject, value);
        Case { label: format!("{}{label}", kind.label()), subject, connections }
    };
    let each = |kinds: &[Kind], values: &[usize], what: &str, change: fn(&mut Subject, usize)| {
        let pairs = values.iter().flat_map(|value| kinds.iter().map(move |kind| (*kind, *value)));
        pairs.map(|(kind, value)| case(format!(", {value} {what}"), kind, 64, change, value)).collect::<Vec<_>>()
    };
    let connections = [1, 16, 256, 4096].iter().flat_map(|count| all.iter().map(move |kind| (*kind, *count)));
    vec![
        ("peers", "1 KB at 64 connections, one worker", {
            all.iter().map(|kind| case(String::new(), *kind, 64, |_, _| {}, 0)).collect()
        }),
        ("workers", "more workers, 128 connections", {
            let kinds: Vec<Kind> = all.iter().filter(|kind| !matches!(kind, Kind::Haproxy { .. })).copied().collect();
            let mut cases = each(&kinds, &args.workers, "workers", |subject, value| subject.workers = value);
            let several: Vec<usize> = args.workers.iter().copied().filter(|count| *count > 1).collect();
            cases.extend(each(&OURS, &several, "programs", |subject, value| subject.programs = value));
            for case in &mut cases {
                case.connections = 128;
            }
            cases
        }),
        ("connections", "growth: connections", {
            connections.map(|(kind, count)| case(format!(", {count}"), kind, count, |_, _| {}, 0)).collect()
        }),
        ("routes", "growth: routes, the last one matches", {
            each(&OURS, &[1, 500], "routes", |subject, value| subject.routes = value)
        }),
        ("banks", "growth: banks, all in use", each(&OURS, &[1, 50], "banks", |subject, value| subject.banks = value)),
    ]
}

/// All of a table stand while it is measured, and take turns: A B C, A B C.
fn measure(args: &Args, cores: usize, title: &str, cases: &[Case]) {
    let heads = ["requests/s", "to nginx", "CPU µs", "MB", "bank busy", "load busy"];
    println!("\n{title}\n{:<28}{}", "", heads.map(|head| format!(" {head:>10}")).concat());
    let most = cases.iter().map(|case| case.subject.programs * case.subject.workers).max().unwrap_or(1);
    let bank = Bank::start(most.min(cores - 1)..cores);
    let proxies: Vec<Proxy> = cases.iter().map(|case| Proxy::start(&case.subject, &bank)).collect();
    let mut rows: Vec<Vec<Figures>> = cases.iter().map(|_| Vec::new()).collect();
    for _ in 0..args.rounds {
        for ((case, proxy), row) in cases.iter().zip(&proxies).zip(&mut rows) {
            row.push(load::measure(proxy, &bank, case.connections, Duration::from_secs_f64(args.seconds)));
        }
    }
    let rates: Vec<f64> = rows.iter().map(|row| median(row, |figures| figures.rate)).collect();
    for ((case, row), rate) in cases.iter().zip(&rows).zip(&rates) {
        // nginx in the same circumstances, where the table has it.
        let nginx = cases.iter().position(|other| other.is_nginx_beside(case)).map(|at| rates[at]);
        let ratio = nginx.map_or_else(String::new, |nginx| format!("{:.2}", rate / nginx));
        let (cpu, memory) = (median(row, |figures| figures.cpu_micros), median(row, |figures| figures.memory_mb));
        let (bank, load) = (median(row, |figures| 100.0 * figures.bank), median(row, |figures| 100.0 * figures.load));
        println!("{:<28} {rate:>10.0} {ratio:>10} {cpu:>10.1} {memory:>10.1} {bank:>9.0}% {load:>9.0}%", case.label);
    }
}

impl Case {
    fn is_nginx_beside(&self, other: &Self) -> bool {
        let circumstances = |case: &Self| (case.connections, case.subject.programs * case.subject.workers);
        self.subject.kind == Kind::Nginx && circumstances(self) == circumstances(other)
    }
}

fn median(row: &[Figures], figure: fn(&Figures) -> f64) -> f64 {
    let mut values: Vec<f64> = row.iter().map(figure).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
