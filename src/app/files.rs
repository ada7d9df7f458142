//! How many files the process may have open: each connection is one.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Connections of apps, of all banks together. Beyond, they wait in the kernel.
const MOST_CONNECTIONS: usize = 16_384;
/// And never fewer than this.
const FEWEST_CONNECTIONS: usize = 16;

/// Takes as many files as the process may have: the usual limit of 1,024 is for programs that use `select`. Where that
/// fails, the limit stays as it is.
pub fn raise_file_limit() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// How many connections apps may have. The other half of the files is for those to banks, the store and the like: an app
/// that holds many must not keep the others from theirs.
pub(super) fn most_connections() -> usize {
    let Ok((files, _)) = getrlimit(Resource::RLIMIT_NOFILE) else { return MOST_CONNECTIONS };
    usize::try_from(files / 2).unwrap_or(usize::MAX).clamp(FEWEST_CONNECTIONS, MOST_CONNECTIONS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_takes_the_files_that_it_may_have_and_apps_get_half_of_them() {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        let hard = hard.min(2_000);
        setrlimit(Resource::RLIMIT_NOFILE, hard / 2, hard).unwrap();
        assert_eq!(most_connections() as u64, hard / 4);
        raise_file_limit();
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), (hard, hard));
        assert_eq!(most_connections() as u64, hard / 2);
    }
}
