//! How pools share the connections that there may be, with HTTP/2.

use super::bank::*;
use super::pools::limited;

/// A bank that takes one stream on each connection and never answers.
fn serve(bank: Bank) {
    tokio::spawn(async move {
        loop {
            let stream = bank.accept().await.into_stream();
            tokio::spawn(async move {
                let mut server = h2::server::Builder::new()
                    .max_concurrent_streams(1)
                    .handshake::<_, bytes::Bytes>(stream)
                    .await
                    .unwrap();
                let mut unanswered = Vec::new();
                while let Some(Ok(request)) = server.accept().await {
                    unanswered.push(request);
                }
            });
        }
    });
}

#[tokio::test]
async fn a_pool_with_several_connections_lets_go_of_one_for_a_pool_without_before_an_answer_ends() {
    let bank = Bank::http2().await;
    let settings = limited(2);
    let [several, without] = [(); 2].map(|()| std::sync::Arc::new(bank.client(settings.clone())));
    serve(bank);
    let _held = [(); 2].map(|()| {
        let client = std::sync::Arc::clone(&several);
        tokio::spawn(async move { client.send(get("/"), LONG).await })
    });
    until(|| several.pool.connections() == (0, 2)).await;
    // A new one is kept for a while.
    let asks = async {
        while several.pool.connections() == (0, 2) {
            poll_once(&mut Box::pin(without.send(get("/"), LONG))).await;
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, asks).await.unwrap();
    for _ in 0..10 {
        poll_once(&mut Box::pin(without.send(get("/"), LONG))).await;
    }
    assert_eq!(several.pool.connections(), (0, 1), "the last one is kept");
}
