//! Enumerations of the contract that a service has as its own: without `Unspecified`, and with what it knows of them.

/// The contract's value says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not specified")]
pub struct Unspecified;

/// Declares an enumeration that mirrors one of the contract, and with it
///
/// - `From` into the contract's, and `TryFrom` it, which fails for `Unspecified` only;
/// - `ALL`: every value, as declared;
/// - `name()` and `named()`: a value's name in the contract, in snake case and without the prefix, and back.
///
/// A variant that either side lacks does not compile. What `Unspecified` means is up to the reader of the message.
///
/// ```
/// use runwarden_proto::executor::v1 as wire;
/// runwarden_kit::mirror! {
///     /// Who goes first.
///     pub enum Priority = wire::JobPriority {
///         /// After all others.
///         Low,
///         /// In order.
///         Normal,
///         /// Before all others.
///         High,
///     }
/// }
/// assert_eq!(wire::JobPriority::from(Priority::High), wire::JobPriority::High);
/// assert_eq!(Priority::try_from(wire::JobPriority::Low), Ok(Priority::Low));
/// assert!(Priority::try_from(wire::JobPriority::Unspecified).is_err());
/// assert_eq!(Priority::ALL.len(), 3);
/// assert_eq!((Priority::Normal.name(), Priority::named("high")), ("normal", Some(Priority::High)));
/// ```
///
/// ```compile_fail,E0004
/// // `High` is missing.
/// runwarden_kit::mirror! {
///     enum Priority = runwarden_proto::executor::v1::JobPriority { Low, Normal }
/// }
/// ```
#[macro_export]
macro_rules! mirror {
    (
        $(#[$meta:meta])*
        $vis:vis enum $own:ident = $wire:ty {
            $($(#[$of_variant:meta])* $variant:ident),+ $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        $vis enum $own {
            $($(#[$of_variant])* $variant),+
        }

        #[allow(clippy::allow_attributes, dead_code, reason = "not every mirror needs all of it")]
        impl $own {
            /// Every value.
            $vis const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Its name in the contract, in snake case and without the prefix.
            #[must_use]
            $vis const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => <$wire>::$variant.name(),)+
                }
            }

            /// The value of this name.
            #[must_use]
            $vis fn named(name: &str) -> ::std::option::Option<Self> {
                Self::ALL.iter().copied().find(|value| value.name() == name)
            }
        }

        impl From<$own> for $wire {
            fn from(own: $own) -> Self {
                match own {
                    $(<$own>::$variant => Self::$variant,)+
                }
            }
        }

        impl TryFrom<$wire> for $own {
            type Error = $crate::mirror::Unspecified;

            fn try_from(wire: $wire) -> ::std::result::Result<Self, $crate::mirror::Unspecified> {
                match wire {
                    <$wire>::Unspecified => Err($crate::mirror::Unspecified),
                    $(<$wire>::$variant => Ok(Self::$variant),)+
                }
            }
        }
    };
}
