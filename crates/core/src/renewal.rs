/// Whether reads renew records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Renewal {
    /// A record lives as long as its last write, or a request to renew it, gave it.
    #[default]
    Never,
    /// A read in the last half of a record's lifetime gives it that lifetime again.
    Half,
}

impl Renewal {
    /// Every one.
    pub const ALL: [Self; 2] = [Self::Never, Self::Half];

    /// As it stands in a file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Half => "half",
        }
    }

    /// The one of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|renewal| renewal.name() == name)
    }
}
