//! Rules that come neither from the file nor from the command line: made through the admin API.

use std::collections::HashMap;

use fault_rules::Rule;
use fault_rules::action::Direction;

/// Such rules.
#[derive(Debug, Clone, Default)]
pub(crate) struct Extra {
    /// They stand behind all others.
    pub(crate) rules: Vec<Rule>,
    /// Which direction of a TCP connection a rule of this id is about, where its fault does not say it.
    pub(crate) ways: HashMap<String, Direction>,
}
