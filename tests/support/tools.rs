//! Programs of the machine that some tests work with.

use std::path::Path;
use std::process::Command;

/// Runs a program in a directory; it must succeed. `arguments` are split at spaces.
pub fn run(directory: &Path, program: &str, arguments: &str, environment: &[(&str, String)]) {
    let mut command = Command::new(program);
    command.args(arguments.split(' ')).current_dir(directory);
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    let output = command.output().expect("the program is installed");
    assert!(output.status.success(), "{program} {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The built program with more in its environment.
pub fn with(environment: &[(&str, String)]) -> Command {
    let mut program = super::program::command(&[]);
    program.envs(environment.iter().map(|(name, value)| (name, value)));
    program
}

/// Runs `openssl` in a directory.
pub fn openssl(directory: &Path, arguments: &str) {
    run(directory, "openssl", arguments, &[]);
}
