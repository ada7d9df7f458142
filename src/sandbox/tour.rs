//! What a demonstration shows: the grants that its customer gives, and the requests worth trying.

use super::Listens;

/// The grants of [`Sandbox::config_toml`](super::Sandbox::config_toml)'s banks, as bank and grant.
pub const GRANTS: [(&str, &str); 3] = [("icard", "default"), ("cnb", "aisp"), ("cnb", "pisp")];

/// A SEPA credit transfer of the Berlin Group's API.
const PAYMENT: &str = r#"{"instructedAmount":{"currency":"EUR","amount":"12.50"},"debtorAccount":{"iban":"BG90INTF40012038114501"},"creditorAccount":{"iban":"DE89370400440532013000"},"creditorName":"Landlord"}"#;

/// What there is to try. Each example is one line that can be copied.
pub fn invitation(listens: &Listens) -> String {
    let local = |address: &str| address.replace("127.0.0.1", "localhost");
    let (admin, icard, cnb) = (local(&listens.admin), local(&listens.icard), local(&listens.cnb));
    format!(
        "Ready. The banks accept nothing but mutual TLS with a QWAC and a valid token; your app needs neither:\n\n\
         curl http://{icard}/v1/accounts\n\
         curl http://{cnb}/cobs/5.0/my/accounts\n\n\
         A payment, and what the operator sees:\n\n\
         curl http://{icard}/v1/payments/sepa-credit-transfers -H 'Content-Type: application/json' -d '{PAYMENT}'\n\
         curl http://{admin}/readyz\n\n\
         The operator's page is http://{admin}/ in a browser.\n\
         Ctrl-C ends it and leaves nothing behind."
    )
}
