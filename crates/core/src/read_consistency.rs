/// What a read proves before it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReadConsistency {
    /// That it is as new as everything acknowledged before it came. Needs a majority of the cluster.
    #[default]
    Linearizable,
    /// Nothing: it tells what this node knows, and in the header `Age` how old that may be.
    Local,
}

impl ReadConsistency {
    /// Every one, the strongest first.
    pub const ALL: [Self; 2] = [Self::Linearizable, Self::Local];

    /// As it stands in a file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Linearizable => "linearizable",
            Self::Local => "local",
        }
    }

    /// The one of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|consistency| consistency.name() == name)
    }
}
