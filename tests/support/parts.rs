//! The real parts that some tests want: a browser, openssl, curl.

use std::io::Write;
use std::process::{Command, Stdio};

/// Whether the machine has this program. Where it has not, the test is left out, and says so; but with
/// `BANKSIDE_TEST_ALL`, as tests/run sets it, nothing is left out.
pub fn have(program: &str, test: &str) -> bool {
    let version = if program == "openssl" { "version" } else { "--version" };
    let found = Command::new(program).arg(version).stdout(Stdio::null()).stderr(Stdio::null()).status();
    // One of them has no way to say its version.
    if found.is_ok_and(|status| status.success() || program == "pkcs11-tool") {
        return true;
    }
    assert!(std::env::var_os("BANKSIDE_TEST_ALL").is_none(), "{program} is missing, and no test may be left out");
    // Not by a macro: what those print of a test that passes is not shown.
    let _ = writeln!(std::io::stderr(), "left out: {test}: {program} is missing");
    false
}
