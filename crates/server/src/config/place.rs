use std::fmt;

/// Where a value stands: what an error names, so that whoever wrote the value finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In the file, on that line, counted from 1.
    Line(usize),
    /// In the environment.
    Variable(Variable),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Variable(variable) => write!(f, "{variable} in the environment"),
        }
    }
}

impl From<usize> for Place {
    fn from(line: usize) -> Self {
        Self::Line(line)
    }
}

/// The variable of the environment that stands for a key: its path in upper case, `SESSILE_CLUSTER_NAME` for `cluster.name`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Variable {
    /// The block that the key stands in; the top has no name.
    pub(super) block: &'static str,
    /// The key's name in its block.
    pub(super) key: &'static str,
}

impl Variable {
    /// How all of them begin.
    pub(super) const PREFIX: &'static str = "SESSILE_";
}

impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = path(self.block, self.key).replace('.', "_").to_ascii_uppercase();
        write!(f, "{}{path}", Self::PREFIX)
    }
}

/// The key as a person would name it: `storage.engine`.
pub(super) fn path(block: &str, key: &str) -> String {
    if block.is_empty() { key.to_owned() } else { format!("{block}.{key}") }
}
