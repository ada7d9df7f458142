//! What an app is told when the bank, its TLS or the way to it fails: status, kind, `Proxy-Status`, whether the bank may
//! have got the request, and all of it in time. Each row of the table is a bank that fails in its own way.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "numbers to look at are told, not asserted")]

mod support;
#[path = "faults/table.rs"]
mod table;

use std::time::{Duration, Instant};

use support::front::{Entry, Front};
use support::http::{Answer, raw, send};
use support::scripted::{Bank, Setup, Trust};
use table::Told::{MayHave, NotSent};
use table::{Fault, Way, faults, says};

/// `timeouts.response` of every bank here; `connect` is the same.
const PATIENCE: Duration = Duration::from_secs(1);
/// What may come on top on a busy machine.
const BUSY: Duration = Duration::from_secs(20);

fn check(fault: &Fault, method: &str, answer: &Answer, took: Duration) {
    let about = format!("{} {method}: {} {:?}", fault.name, answer.status, answer.body);
    assert_eq!(answer.status, fault.status, "{about}");
    let problem = answer.problem(fault.kind, fault.status);
    let error = answer.header("proxy-status").strip_prefix("bankside; error=").unwrap_or_default().to_owned();
    assert_eq!(error, fault.error, "{about}");
    let remedy = problem["remedy"].as_str().expect("a text");
    assert_eq!(remedy.contains("The bank has not received this request"), fault.told == NotSent, "{about}");
    assert_eq!(remedy.contains("The bank may have received this request"), fault.told == MayHave, "{about}");
    // A GET goes twice, a stream that was refused three times.
    assert!(took < 4 * PATIENCE + BUSY, "{about}: it took {took:?}");
}

#[tokio::test]
async fn every_fault_is_told_by_status_kind_and_type_and_in_time() {
    let (trust, faults) = (Trust::new(), faults());
    let names: Vec<String> = (0..faults.len()).map(|index| format!("fault{index}")).collect();
    let mut banks = Vec::new();
    let mut start = |bank: Bank| {
        let base_url = format!("https://{}", bank.address);
        banks.push(bank);
        base_url
    };
    let mut entries = Vec::new();
    for (fault, name) in faults.iter().zip(&names) {
        let more = "[@.timeouts]\nconnect = \"1s\"\nresponse = \"1s\"\nidle = \"1s\"";
        let (base_url, setup) = match &fault.bank {
            Way::Url(url) => (url(), Setup::default()),
            Way::Bank(setup, script) => {
                let (setup, script) = (setup(), *script);
                (start(Bank::start(&trust, &setup, script)), setup)
            }
            Way::Answer(answer) => {
                let answer = answer.clone();
                let bank = Bank::start(&trust, &Setup::default(), move |bank| says(bank, answer.clone()));
                (start(bank), Setup::default())
            }
        };
        entries.push(Entry { name, base_url, alpn: setup.alpn, more });
    }
    let front = Front::start(&trust, &entries);
    for (fault, name) in faults.iter().zip(&names) {
        let start = Instant::now();
        let answer = send(front.address(name), "POST", "/v1/payments", &[], "{}").await;
        let took = start.elapsed();
        check(fault, "POST", &answer, took);
        println!(
            "{:45} {} {:17} {:23} {:?} {:4} ms",
            fault.name,
            fault.status,
            fault.kind,
            fault.error,
            fault.told,
            took.as_millis()
        );
    }
}

/// The resolver of this machine is replaced by one that never answers, in a mount namespace of the sidecar's own.
#[tokio::test]
async fn a_name_server_that_never_answers_is_waited_for_no_longer_than_a_connection() {
    let Ok(_name_server) = std::net::UdpSocket::bind("127.0.0.53:53") else {
        println!("left out: a name server needs port 53");
        return;
    };
    let trust = Trust::new();
    let more = "[@.timeouts]\nconnect = \"1s\"";
    let entry =
        Entry { base_url: "https://bank.example".into(), ..Entry::at("examplebank", ([127, 0, 0, 1], 1).into()) };
    let script = "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"";
    let resolver = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(resolver.path(), "nameserver 127.0.0.53\noptions timeout:30 attempts:1\n")
        .expect("it can be written");
    let mut unshare = std::process::Command::new("unshare");
    unshare.args(["--mount", "sh", "-c", script]).arg(resolver.path());
    if !unshare.arg("true").status().is_ok_and(|status| status.success()) {
        println!("left out: there are no mount namespaces");
        return;
    }
    let mut unshare = std::process::Command::new("unshare");
    unshare.args(["--mount", "sh", "-c", script]).arg(resolver.path()).arg(support::program::PROGRAM);
    let front = Front::start_prepared(&trust, &[entry.with(more)], unshare);
    let start = Instant::now();
    let answer = send(front.address("examplebank"), "POST", "/x", &[], "{}").await;
    let problem = answer.problem("bank-timeout", 504);
    assert_eq!(answer.header("proxy-status"), "bankside; error=connection_timeout");
    assert!(problem["remedy"].as_str().expect("a text").contains("has not received"), "{problem}");
    assert!(start.elapsed() < PATIENCE + BUSY, "{:?}", start.elapsed());
    println!("a slow name server: 504 after {} ms", start.elapsed().as_millis());
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_never_taken_for_a_whole_one() {
    let trust = Trust::new();
    let (length, chunked) = ("Content-Length: 50\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    let broken = [
        ("length", length.to_owned()),
        ("chunked", chunked.to_owned()),
        ("chunk", format!("{chunked}xyz\r\n")),
        ("trailer", format!("{chunked}0\r\nX: y\r\n")),
        ("stalls", length.to_owned()),
    ];
    let banks = broken.each_ref().map(|(name, rest)| {
        let (answer, stalls) = (format!("HTTP/1.1 200 OK\r\n{rest}"), *name == "stalls");
        Bank::start(&trust, &Setup::default(), move |mut bank| {
            let answer = answer.clone();
            async move {
                if stalls {
                    return says(bank, answer).await;
                }
                bank.request().await;
                bank.say(answer).await;
            }
        })
    });
    let more = "[@.timeouts]\nidle = \"1s\"";
    let entries: Vec<_> =
        broken.iter().zip(&banks).map(|((name, _), bank)| Entry::new(name, bank).with(more)).collect();
    let front = Front::start(&trust, &entries);
    for (name, _) in broken {
        let request = "GET /x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let answer = raw(front.address(name), request).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{name}: {answer}");
        // A length that is not met, or chunks without their last one.
        assert!(answer.contains("Content-Length: 50\r\n") || answer.contains("chunked\r\n"), "{name}: {answer}");
        assert!(!answer.ends_with("0\r\n\r\n"), "{name}: {answer}");
    }
}

#[tokio::test]
async fn an_answer_until_close_is_whole_and_its_connection_is_not_used_again() {
    let trust = Trust::new();
    let bank = Bank::start(&trust, &Setup::default(), |mut bank| async move {
        bank.request().await;
        bank.say("HTTP/1.0 200 Fine\r\nX-A: b\r\n\r\nuntil the end").await;
        bank.close().await;
    });
    let front = Front::start(&trust, &[Entry::new("examplebank", &bank)]);
    for _ in 0..2 {
        let answer = send(front.address("examplebank"), "GET", "/x", &[], "").await.with(200);
        assert_eq!(answer.body, "until the end");
    }
    assert_eq!(bank.record.raw().len(), 2);
}

#[tokio::test]
async fn a_connection_that_the_bank_closed_while_it_was_idle_costs_no_payment() {
    let trust = Trust::new();
    let bank = Bank::start(&trust, &Setup::default(), |mut bank| async move {
        bank.request().await;
        bank.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    });
    let front = Front::start(&trust, &[Entry::new("examplebank", &bank)]);
    for number in 0..20 {
        let path = format!("/v1/payments/{number}");
        send(front.address("examplebank"), "POST", &path, &[], "{}").await.with(200);
    }
    let (seen, left) = bank.record.requests();
    assert_eq!((seen.len(), left), (20, 0));
}

#[tokio::test]
async fn a_get_goes_once_more_when_its_connection_dies_and_a_post_never() {
    let trust = Trust::new();
    // Every other connection dies before its answer.
    let bank = Bank::start(&trust, &Setup::default(), |mut bank| async move {
        let number = bank.number;
        bank.request().await;
        if number.is_multiple_of(2) {
            return bank.reset();
        }
        bank.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").await;
    });
    let front = Front::start(&trust, &[Entry::new("examplebank", &bank)]);
    let address = front.address("examplebank");
    send(address, "GET", "/get", &[], "").await.with(200);
    send(address, "POST", "/post", &[], "{}").await.problem("bank-unreachable", 502);
    send(address, "POST", "/post-2", &[], "{}").await.with(200);
    let lines: Vec<String> = bank.record.requests().0.into_iter().map(|seen| seen.target().to_owned()).collect();
    assert_eq!(lines, ["/get", "/get", "/post", "/post-2"]);
}

/// The first time it may have arrived, the second time nobody listens any more: that says nothing of the first.
#[tokio::test]
async fn a_request_that_was_sent_once_is_never_said_not_to_have_been_sent() {
    let trust = Trust::new();
    let bank = Bank::start(&trust, &Setup::default(), |mut bank| async move {
        bank.request().await;
        bank.request().await;
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let front = Front::start(&trust, &[Entry::at("examplebank", listener.local_addr().expect("an address"))]);
    let cut_when_sent = async {
        let (mut app, _) = listener.accept().await.expect("a connection");
        drop(listener);
        let mut way = tokio::net::TcpStream::connect(bank.address).await.expect("the bank");
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut app, &mut way) => panic!("it ended by itself"),
            () = support::wait::until("the request is there", || bank.record.requests().0.len() == 1) => {}
        }
    };
    let (answer, ()) = tokio::join!(send(front.address("examplebank"), "GET", "/x", &[], ""), cut_when_sent);
    let problem = answer.problem("bank-unreachable", 502);
    let remedy = problem["remedy"].as_str().expect("a text");
    assert!(remedy.contains("may have received"), "{remedy}");
}
