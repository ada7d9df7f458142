//! Spreading and serving over real sockets.

use std::os::unix::fs::MetadataExt;

use http::StatusCode;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::config::Listen;
use crate::inbound::listen::bind;
use crate::inbound::{Departure, Malformed};
use crate::message::{Body, Request, Response};

fn listener() -> (Listener, SocketAddr) {
    let listener = bind(&Listen::Tcp("127.0.0.1:0".parse().unwrap())).unwrap();
    let Listen::Tcp(address) = listener.address().unwrap() else { panic!("not TCP") };
    (listener, address)
}

#[tokio::test]
async fn each_connection_goes_to_the_worker_that_has_the_fewest() {
    let (listener, address) = listener();
    let (spread, mut workers) = spread(3, 100);
    let stop = CancellationToken::new();
    let accepting = tokio::spawn(accept(listener, "bank", spread.clone(), stop.clone()));
    let clients: Vec<_> = (0..9).map(|_| TcpStream::connect(address).unwrap()).collect();
    let mut held = Vec::new();
    for worker in &mut workers {
        for _ in 0..3 {
            held.push(worker.recv().await.unwrap());
        }
    }
    assert_eq!(spread.connections(), [3, 3, 3]);
    // The first worker's connections end: it gets the next ones.
    held.drain(..3);
    assert_eq!(spread.connections(), [0, 3, 3]);
    let more: Vec<_> = (0..3).map(|_| TcpStream::connect(address).unwrap()).collect();
    for _ in 0..3 {
        held.push(workers[0].recv().await.unwrap());
    }
    assert_eq!((spread.connections(), held[0].front), (vec![3, 3, 3], "bank"));
    stop.cancel();
    accepting.await.unwrap().unwrap();
    drop((clients, more));
    assert!(TcpStream::connect(address).is_err());
}

#[tokio::test]
async fn a_worker_that_has_ended_gets_no_connections() {
    let (listener, address) = listener();
    let (spread, mut workers) = spread(2, 100);
    drop(workers.remove(0));
    let accepting = tokio::spawn(accept(listener, (), spread.clone(), CancellationToken::new()));
    let clients: Vec<_> = (0..4).map(|_| TcpStream::connect(address).unwrap()).collect();
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(workers[0].recv().await.unwrap());
    }
    assert_eq!(spread.connections(), [0, 4]);
    accepting.abort();
    drop((held, clients));
}

#[tokio::test]
async fn beyond_the_bound_a_connection_waits_until_another_ends() {
    let (listener, address) = listener();
    let (spread, mut workers) = spread(1, 2);
    let accepting = tokio::spawn(accept(listener, (), spread.clone(), CancellationToken::new()));
    let clients: Vec<_> = (0..3).map(|_| TcpStream::connect(address).unwrap()).collect();
    let first = workers[0].recv().await.unwrap();
    let second = workers[0].recv().await.unwrap();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(workers[0].try_recv().is_err());
    drop(first);
    assert!(workers[0].recv().await.is_some());
    accepting.abort();
    drop((second, clients));
}

/// Answers with the caller.
#[derive(Clone)]
struct WhoIsThere;

impl Service for WhoIsThere {
    async fn call(&self, _: Request, caller: &Caller, _: &Departure) -> Response {
        Response::new(StatusCode::OK, Body::full(format!("{caller:?}")))
    }

    fn refuse(&self, malformed: &Malformed, _: &Caller) -> Response {
        Response::new(malformed.status, Body::absent())
    }
}

#[tokio::test]
async fn a_connection_is_served_with_its_caller_and_counts_until_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let listens = [Listen::Tcp("127.0.0.1:0".parse().unwrap()), Listen::Unix(dir.path().join("bank.sock"))];
    for listen in listens {
        let (spread, mut workers) = spread(1, 10);
        let listener = bind(&listen).unwrap();
        let address = listener.address().unwrap();
        let accepting = tokio::spawn(accept(listener, (), spread.clone(), CancellationToken::new()));
        let request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        let (client, expected) = match address {
            Listen::Tcp(address) => {
                let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
                client.write_all(request).await.unwrap();
                let (remote, local) = (client.local_addr().unwrap(), address);
                (tokio::spawn(read(client)), format!("{:?}", Caller::Tcp { remote, local }))
            }
            Listen::Unix(path) => {
                let mut client = tokio::net::UnixStream::connect(path).await.unwrap();
                client.write_all(request).await.unwrap();
                let uid = Some(std::fs::metadata(dir.path()).unwrap().uid());
                (tokio::spawn(read(client)), format!("{:?}", Caller::Unix { uid, is_stranger: false }))
            }
        };
        let accepted = workers[0].recv().await.unwrap();
        assert_eq!(spread.connections(), [1]);
        let settings = ServeSettings::default();
        accepted.connection.serve(WhoIsThere, &settings, CancellationToken::new()).await.unwrap();
        assert_eq!(spread.connections(), [0]);
        let answer = client.await.unwrap();
        assert!(answer.ends_with(&expected), "{answer}");
        accepting.abort();
    }
}

async fn read(mut client: impl AsyncRead + Unpin) -> String {
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    answer
}

#[test]
fn what_is_wrong_with_accepting_is_told_from_what_is_wrong_with_a_connection() {
    assert!(is_of_one_connection(&io::ErrorKind::ConnectionAborted.into()));
    let too_many_files = io::Error::from_raw_os_error(24);
    assert!(!is_of_one_connection(&too_many_files));
}
