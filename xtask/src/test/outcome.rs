//! How a test program ended, as its output tells.

/// Sums of tests.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outcome {
    passed: u32,
    failed: u32,
    ignored: u32,
    /// Programs that ended badly, whatever their output says.
    broken: u32,
}

impl Outcome {
    /// Adds up all lines `test result: ok. 5 passed; 0 failed; 1 ignored; …` of one program.
    pub(crate) fn parse(output: &str, success: bool) -> Self {
        let mut outcome = Self { broken: u32::from(!success), ..Self::default() };
        for line in output.lines().filter_map(|line| line.strip_prefix("test result: ")) {
            let parts = line.split_once(". ").map_or(line, |(_, parts)| parts).split("; ");
            for (count, what) in parts.filter_map(|part| part.split_once(' ')) {
                let Ok(count) = count.parse::<u32>() else {
                    continue;
                };
                match what {
                    "passed" => outcome.passed += count,
                    "failed" => outcome.failed += count,
                    "ignored" => outcome.ignored += count,
                    _ => {}
                }
            }
        }
        outcome
    }

    /// What a reader needs of a failed program's output: from where it tells its failures, or all
    /// of it when it ended without telling.
    pub(crate) fn failures(output: &str) -> &str {
        output.find("\nfailures:\n").map_or(output, |at| &output[at..])
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
        self.broken += other.broken;
    }

    pub(crate) fn passed(&self) -> bool {
        self.failed == 0 && self.broken == 0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.passed + self.failed == 0
    }

    pub(crate) fn counts(&self) -> String {
        let ignored = match self.ignored {
            0 => String::new(),
            some => format!(", {some} ignored"),
        };
        format!("{} passed, {} failed{ignored}", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: &str = "running 6 tests\ntest a ... ok\n\ntest result: ok. 5 passed; 0 failed; \
                      1 ignored; 0 measured; 2 filtered out; finished in 0.00s\n";
    const BAD: &str = "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured";

    #[test]
    fn all_result_lines_of_a_program_are_added() {
        let outcome = Outcome::parse(&format!("{OK}{OK}"), true);
        assert_eq!(outcome, Outcome { passed: 10, failed: 0, ignored: 2, broken: 0 });
        assert!(outcome.passed());
        assert_eq!(outcome.counts(), "10 passed, 0 failed, 2 ignored");
    }

    #[test]
    fn a_failed_test_and_a_crash_both_count_as_failure() {
        assert!(!Outcome::parse(BAD, false).passed());
        assert!(!Outcome::parse(BAD, true).passed());
        assert!(!Outcome::parse(OK, false).passed());
        assert!(!Outcome::parse("", false).passed());
    }

    #[test]
    fn only_the_failures_are_shown_unless_the_program_crashed() {
        let output = "test a ... ok\n\nfailures:\n\n---- b ----\n";
        assert_eq!(Outcome::failures(output), "\nfailures:\n\n---- b ----\n");
        assert_eq!(Outcome::failures("test a ... ok\nkilled"), "test a ... ok\nkilled");
    }

    #[test]
    fn a_filter_that_fits_nothing_is_empty() {
        assert!(Outcome::parse("", true).is_empty());
        assert!(!Outcome::parse(BAD, false).is_empty());
    }
}
