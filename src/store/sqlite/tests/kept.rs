//! What nobody must find in the files.

use super::*;

#[tokio::test]
async fn no_file_of_the_store_holds_a_secret_in_clear_or_in_base64() {
    let file = File::new();
    let store = file.open();
    let secrets = ["the-access-token", "the-refresh-token", "the-verifier", "the-session", "the-client-secret"];
    store.put(&key("default"), tokens(secrets[0], Some(secrets[1]))).await.unwrap();
    store.put_attempt(attempt("aa"), HOLD).await.unwrap();
    let client_secret = Some(secrets[4].into());
    let client = RegisteredClient { client_id: "id".into(), client_secret, registered_at: START };
    store.put_client(&key("default").bank, client).await.unwrap();
    let mut read = 0;
    for entry in fs::read_dir(file.directory.path()).unwrap() {
        let content = fs::read(entry.unwrap().path()).unwrap();
        read += content.len();
        for secret in secrets {
            let base64 = STANDARD.encode(secret);
            for text in [secret, &base64[..base64.len() - 4]] {
                assert!(!content.windows(text.len()).any(|part| part == text.as_bytes()), "{secret}");
            }
        }
    }
    assert!(read > 4096, "there were files to look at");
}
