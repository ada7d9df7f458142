//! Rows, bound to their place.

use super::*;

#[tokio::test]
async fn a_row_that_was_moved_or_set_back_does_not_open() {
    let file = File::new();
    let store = file.open();
    store.put(&key("default"), tokens("a", None)).await.unwrap();
    store.put(&key("pisp"), tokens("b", None)).await.unwrap();
    let raw = Connection::open(file.path()).unwrap();
    raw.execute(
        "UPDATE grants SET access = (SELECT access FROM grants WHERE name = 'pisp') WHERE name = 'default'",
        [],
    )
    .unwrap();
    raw.execute("UPDATE grants SET version = 2 WHERE name = 'pisp'", []).unwrap();
    for name in ["default", "pisp"] {
        assert!(matches!(store.load(&key(name)).await, Err(StoreError::Damaged { what: "access" })));
        assert!(store.claim(&key(name), if name == "pisp" { 2 } else { 1 }, &claimant("one")).await.is_err());
    }
    let left: i64 =
        raw.query_row("SELECT count(*) FROM grants WHERE sent_at IS NOT NULL", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 0, "no intent is written for what cannot be sent");
}
