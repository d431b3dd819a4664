//! Sets of word classes, as bits; each tongue names its own.

/// Defines `Classes`, a constant for each name, and what the lexicon's files call it.
macro_rules! classes {
    ($($name:ident = $key:literal),* $(,)?) => {
        /// A set of word classes.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Classes(u64);

        impl Classes {
            classes! { @bit 0; $($name)* }

            const NAMES: &'static [(&'static str, Classes)] = &[$(($key, Classes::$name)),*];

            pub const fn or(self, other: Classes) -> Classes {
                Classes(self.0 | other.0)
            }

            pub fn has(self, any: Classes) -> bool {
                self.0 & any.0 != 0
            }

            /// The class that a lexicon's file calls so.
            fn named(key: &str) -> Option<Classes> {
                Classes::NAMES.iter().find(|(name, _)| *name == key).map(|(_, class)| *class)
            }
        }
    };
    (@bit $bit:expr;) => {};
    (@bit $bit:expr; $name:ident $($rest:ident)*) => {
        pub const $name: Classes = Classes(1 << ($bit));
        classes! { @bit $bit + 1; $($rest)* }
    };
}

pub(super) use classes;
