//! A web page in the browser of whoever runs the sidecar cannot reach the bank: neither by fetch, nor by a form, nor by an
//! image; neither as itself, nor by a name of its own that leads to this machine.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "numbers to look at are told, not asserted")]

#[path = "support/browser.rs"]
mod browser;
mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};

use browser::Browser;
use fantoccini::Locator;
use support::front::before_obliging_bank;
use support::http::get;
use support::parts::have;
use support::wait::until_found;

/// The attacker's site: this page for every path, on a loopback port of its own.
fn evil(page: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let page = page.clone();
            std::thread::spawn(move || {
                let _ = stream.read(&mut [0; 8 * 1024]);
                let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length: ";
                let _ = write!(stream, "{head}{}\r\n\r\n{page}", page.len());
            });
        }
    });
    address
}

/// Everything that a page can try; `done` says what became of each.
const TRIES: &str = r#"<!doctype html><title>evil</title><p id="state">trying</p>
<iframe name="sink"></iframe>
<script>
const BANK = "@";
const told = {};
const tries = {
  cors: () => fetch(BANK + "/v1/accounts"),
  credentials: () => fetch(BANK + "/v1/accounts", { credentials: "include" }),
  noCors: () => fetch(BANK + "/v1/accounts", { mode: "no-cors" }),
  post: () => fetch(BANK + "/v1/payments", { method: "POST", mode: "no-cors", body: "{}" }),
  json: () => fetch(BANK + "/v1/payments", { method: "POST", headers: { "content-type": "application/json" }, body: "{}" }),
  header: () => fetch(BANK + "/v1/accounts", { headers: { "bankside-grant": "default" } }),
  remove: () => fetch(BANK + "/v1/payments/1", { method: "DELETE" }),
  beacon: async () => navigator.sendBeacon(BANK + "/v1/payments", "{}"),
  xhr: () => new Promise((ok, no) => { const x = new XMLHttpRequest(); x.onload = () => ok(x); x.onerror = no; x.open("POST", BANK + "/v1/payments"); x.send("{}"); }),
  image: () => element("img", "src"),
  script: () => element("script", "src"),
  style: () => element("link", "href", { rel: "stylesheet" }),
  frame: () => new Promise(ok => { const f = document.createElement("iframe"); f.onload = ok; f.src = BANK + "/v1/accounts"; document.body.append(f); }),
  form: () => form("post"),
  getForm: () => form("get"),
  plainForm: () => form("post", "text/plain"),
  websocket: () => new Promise((ok, no) => { const s = new WebSocket(BANK.replace("http", "ws") + "/v1/accounts"); s.onopen = ok; s.onerror = no; }),
  events: () => new Promise((ok, no) => { const s = new EventSource(BANK + "/v1/accounts"); s.onopen = ok; s.onerror = e => { s.close(); no(e); }; }),
};
function element(name, key, more) {
  return new Promise((ok, no) => { const e = Object.assign(document.createElement(name), more); e.onload = ok; e.onerror = no; e[key] = BANK + "/v1/accounts?" + name; document.body.append(e); });
}
function form(method, enctype) {
  return new Promise(ok => {
    const f = document.createElement("form");
    Object.assign(f, { method, action: BANK + "/v1/payments", target: "sink" });
    if (enctype) f.enctype = enctype;
    f.innerHTML = "<input name=amount value=1>";
    document.querySelector("[name=sink]").onload = ok;
    document.body.append(f);
    f.submit();
  });
}
(async () => {
  for (const [name, go] of Object.entries(tries)) {
    const slow = new Promise((_, no) => setTimeout(() => no("slow"), 3000));
    try { const r = await Promise.race([go(), slow]); told[name] = r && r.type ? r.type + " " + (r.status ?? "") : "done"; } catch (e) { told[name] = "refused"; }
  }
  document.getElementById("state").textContent = JSON.stringify(told);
  document.body.append(Object.assign(document.createElement("p"), { id: "done", textContent: JSON.stringify(told) }));
})();
</script>"#;

/// The text of what a CSS selector finds, once it is there.
async fn text(browser: &Browser, selector: &str) -> String {
    until_found(selector, async || browser.client.find(Locator::Css(selector)).await.ok()?.text().await.ok()).await
}

#[tokio::test]
async fn no_page_reaches_the_bank_from_a_foreign_origin() {
    if !have("chromedriver", "the web page") || !have("chromium", "the web page") {
        return;
    }
    let (bank, front) = before_obliging_bank("");
    let address = front.address("examplebank");
    let browser = Browser::start().await;
    for bank_as in [format!("http://localhost:{}", address.port()), format!("http://127.0.0.1:{}", address.port())] {
        let site = evil(TRIES.replace('@', &bank_as));
        for site_as in ["127.0.0.1", "localhost"] {
            browser.open(&format!("http://{site_as}:{}/", site.port())).await;
            let told = text(&browser, "#done").await;
            println!("{site_as} to {bank_as}: {told}");
            assert_eq!(bank.record.raw(), Vec::<Vec<u8>>::new(), "{site_as} to {bank_as}: {told}");
            let told: serde_json::Value = serde_json::from_str(&told).expect("JSON");
            // What a page may read is the sidecar's refusal at the most.
            assert_eq!(told["cors"], "refused", "{told}");
            assert_eq!(told["image"], "refused", "{told}");
        }
    }
    browser.close().await;
    get(address, "/v1/accounts").await.with(200);
    assert_eq!(bank.record.raw().len(), 1, "the bank was there all along");
}

/// `evil.example` led to the attacker when its page was loaded, and leads to this machine ever since: for the browser the
/// sidecar is the page's own origin.
#[tokio::test]
async fn no_page_reaches_the_bank_by_a_rebound_name() {
    if !have("chromedriver", "the web page") || !have("chromium", "the web page") {
        return;
    }
    let (bank, front) = before_obliging_bank("");
    let address = front.address("examplebank");
    // One name and port for the browser; what it leads to is the sidecar from the beginning: the page itself comes from
    // another name.
    let site = evil(TRIES.replace('@', &format!("http://evil.example:{}", address.port())));
    let rules = "--host-resolver-rules=MAP *.example 127.0.0.1";
    let browser = Browser::start_with(&[rules]).await;
    browser.open(&format!("http://evil.example:{}/", site.port())).await;
    let told = text(&browser, "#done").await;
    println!("rebound: {told}");
    assert_eq!(bank.record.raw(), Vec::<Vec<u8>>::new(), "{told}");
    // The page that is loaded from the sidecar itself, as same-origin as can be: a refusal, and nothing else.
    browser.open(&format!("http://evil.example:{}/v1/accounts", address.port())).await;
    let page = text(&browser, "body").await;
    assert!(page.contains("urn:bankside:wrong-host"), "{page}");
    assert_eq!(bank.record.raw(), Vec::<Vec<u8>>::new());
    browser.close().await;
}
