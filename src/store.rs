//! Floor 3, grants at rest: sealed rows in a database.
