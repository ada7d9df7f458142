//! In which text format metrics are told: `OpenMetrics` to those who ask for it, else Prometheus' own.

use std::fmt::Write as _;

/// A text format of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `OpenMetrics`, version 1.0.0.
    OpenMetrics,
    /// The format of Prometheus, version 0.0.4, which all that scrape understand.
    Prometheus,
}

impl Format {
    /// What these `Accept` fields ask for (RFC 9110, section 12.5.1).
    pub fn asked_for<'a>(accept: impl Iterator<Item = &'a str>) -> Self {
        let mut ranges = accept.flat_map(|value| value.split(','));
        let is_asked_for = ranges.any(|range| {
            let mut parts = range.split(';').map(str::trim);
            let is_named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("application/openmetrics-text"));
            is_named && !parts.any(|parameter| matches!(parameter, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
        });
        if is_asked_for { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// Its media type, for `Content-Type`.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// What is told in `OpenMetrics`, in this format.
    pub(super) fn tell(self, text: String) -> String {
        match self {
            Self::OpenMetrics => text,
            Self::Prometheus => to_prometheus(&text),
        }
    }
}

/// Samples are alike in both formats; what is said of a family goes by its samples' name here, and there are fewer types.
fn to_prometheus(text: &str) -> String {
    let mut told = String::with_capacity(text.len());
    let mut help = None;
    for line in text.lines() {
        if let Some(said) = line.strip_prefix("# HELP ") {
            // Which name it has here is known with the type.
            help = said.split_once(' ').map(|(_, words)| words);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|said| said.split_once(' ')) {
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                same => ("", same),
            };
            if let Some(words) = help.take() {
                let _ = writeln!(told, "# HELP {name}{suffix} {words}");
            }
            let _ = writeln!(told, "# TYPE {name}{suffix} {kind}");
        } else if !line.starts_with('#') {
            told.push_str(line);
            told.push('\n');
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_is_for_those_who_ask_for_it() {
        for (accept, format) in [
            (&[][..], Format::Prometheus),
            (&["*/*"], Format::Prometheus),
            (&["text/plain;version=0.0.4"], Format::Prometheus),
            (&["application/openmetrics-text; version=1.0.0; q=0"], Format::Prometheus),
            (&["application/openmetrics-text"], Format::OpenMetrics),
            // Prometheus' own words.
            (
                &["application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1"],
                Format::OpenMetrics,
            ),
            (&["text/plain", "Application/OpenMetrics-Text;q=1"], Format::OpenMetrics),
        ] {
            assert_eq!(Format::asked_for(accept.iter().copied()), format, "{accept:?}");
        }
    }

    #[test]
    fn a_family_is_described_by_the_name_of_its_samples() {
        let text = "# HELP a_requests Requests.\n# TYPE a_requests counter\na_requests_total{b=\"c\"} 1\n\
                    # HELP a_seconds Time.\n# TYPE a_seconds histogram\n# UNIT a_seconds seconds\na_seconds_sum 0.5\n\
                    # HELP a_build What.\n# TYPE a_build info\na_build_info{v=\"1\"} 1\n# TYPE a gauge\na 2\n# EOF\n";
        let told = "# HELP a_requests_total Requests.\n# TYPE a_requests_total counter\na_requests_total{b=\"c\"} 1\n\
                    # HELP a_seconds Time.\n# TYPE a_seconds histogram\na_seconds_sum 0.5\n\
                    # HELP a_build_info What.\n# TYPE a_build_info gauge\na_build_info{v=\"1\"} 1\n# TYPE a gauge\na 2\n";
        assert_eq!(Format::Prometheus.tell(text.to_owned()), told);
        assert_eq!(Format::OpenMetrics.tell(text.to_owned()), text);
    }
}
