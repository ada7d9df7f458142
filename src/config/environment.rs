//! The environment, passed in so that tests do not depend on the process's.

/// Where `${NAME}` and `{ env = "NAME" }` are looked up. Any `Fn(&str) -> Option<String>` is one.
pub trait Environment {
    /// The variable's value; `None` where it is not set, or not text.
    fn variable(&self, name: &str) -> Option<String>;
}

impl<F: Fn(&str) -> Option<String>> Environment for F {
    fn variable(&self, name: &str) -> Option<String> {
        self(name)
    }
}

/// The environment of this process.
#[derive(Clone, Copy, Debug)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}
