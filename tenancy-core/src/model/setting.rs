//! What differs from tenant to tenant: settings and limits, declared in code.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{Error, ErrorKind, InvalidInput, SettingKey};

/// The longest value of a setting, as JSON text.
pub(crate) const MAX_SETTING_BYTES: usize = 16 * 1024;

/// A value that a tenant's managers choose, with its default and the rule it has to keep.
///
/// ```
/// use tenancy_core::{InvalidInput, Setting};
///
/// const GREETING: Setting<String> =
///     Setting::new("shop.greeting", "what visitors read first", || "Welcome".to_owned())
///         .with_check(|text| match text.len() {
///             1..=200 => Ok(()),
///             _ => Err(InvalidInput::new("greeting_length", "a greeting has 1 to 200 bytes")),
///         });
/// assert_eq!(GREETING.key().as_str(), "shop.greeting");
/// ```
#[derive(Clone, Debug)]
pub struct Setting<T> {
    key: SettingKey,
    description: &'static str,
    default: fn() -> T,
    check: fn(&T) -> Result<(), InvalidInput>,
}

impl<T> Setting<T> {
    /// A setting that takes every value of its type.
    ///
    /// # Panics
    /// When the key breaks its grammar: at compile time in a `const`.
    pub const fn new(key: &'static str, description: &'static str, default: fn() -> T) -> Self {
        Self {
            key: SettingKey::from_static(key),
            description,
            default,
            check: |_| Ok(()),
        }
    }

    /// Sets the rule that a value has to keep; the default must keep it too.
    pub const fn with_check(mut self, check: fn(&T) -> Result<(), InvalidInput>) -> Self {
        self.check = check;
        self
    }

    /// Its name.
    pub fn key(&self) -> &SettingKey {
        &self.key
    }

    /// What it decides, in one line for people.
    pub fn description(&self) -> &'static str {
        self.description
    }

    /// What holds where a tenant has set nothing.
    pub fn default_value(&self) -> T {
        (self.default)()
    }
}

impl<T: DeserializeOwned + Serialize> Setting<T> {
    /// Reads a stored value; the default, where there is none.
    ///
    /// # Errors
    /// [`Internal`](ErrorKind::Internal) `setting_unreadable`: the type has changed since it was
    /// stored. A wrong guess would be worse than an error.
    pub fn read(&self, stored: Option<Value>) -> Result<T, Error> {
        let Some(value) = stored else {
            return Ok(self.default_value());
        };
        serde_json::from_value(value).map_err(|_| {
            let message = format!("the stored value of `{}` has another type", self.key);
            Error::new(ErrorKind::Internal, "setting_unreadable", message)
        })
    }

    /// Checks a value and writes it as JSON.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) with the code of the setting's own rule, or
    /// `setting_too_large` above 16 KiB.
    pub fn write(&self, value: &T) -> Result<Value, Error> {
        (self.check)(value)?;
        let value = serde_json::to_value(value).map_err(|_| {
            let message = format!("the value of `{}` is no JSON", self.key);
            Error::invalid("setting_invalid", message)
        })?;
        let bytes = value.to_string().len();
        if bytes > MAX_SETTING_BYTES {
            let message = format!(
                "the value of `{}` has {bytes} bytes, {MAX_SETTING_BYTES} is the limit",
                self.key
            );
            return Err(Error::invalid("setting_too_large", message));
        }
        Ok(value)
    }
}

/// A quota: how much of something a tenant may have. Set by the platform, never by the tenant.
///
/// ```
/// use tenancy_core::Limit;
///
/// const SEATS: Limit = Limit::new("shop.seats", "how many may work at once", 5).within(1, 500);
/// assert_eq!(SEATS.read(None), 5);
/// assert_eq!(SEATS.read(Some(9_999)), 500);
/// ```
#[derive(Clone, Debug)]
pub struct Limit {
    key: SettingKey,
    description: &'static str,
    default: u64,
    least: u64,
    most: u64,
}

impl Limit {
    /// A limit between 0 and `i64::MAX`.
    ///
    /// # Panics
    /// When the key breaks its grammar: at compile time in a `const`.
    pub const fn new(key: &'static str, description: &'static str, default: u64) -> Self {
        Self {
            key: SettingKey::from_static(key),
            description,
            default,
            least: 0,
            most: i64::MAX as u64,
        }
    }

    /// Sets the bounds of what the platform may set.
    ///
    /// # Panics
    /// When the default is not within them, or they are no bounds: at compile time in a `const`.
    pub const fn within(mut self, least: u64, most: u64) -> Self {
        assert!(
            least <= self.default && self.default <= most && most <= i64::MAX as u64,
            "the default of a limit lies within its bounds, and they fit a bigint"
        );
        self.least = least;
        self.most = most;
        self
    }

    /// Its name.
    pub fn key(&self) -> &SettingKey {
        &self.key
    }

    /// What it limits, in one line for people.
    pub fn description(&self) -> &'static str {
        self.description
    }

    /// What holds where the platform has set nothing.
    pub fn default_value(&self) -> u64 {
        self.default
    }

    /// Reads a stored value; the default, where there is none. One that was stored under wider
    /// bounds is cut to today's.
    pub fn read(&self, stored: Option<i64>) -> u64 {
        stored.map_or(self.default, |value| {
            u64::try_from(value)
                .unwrap_or_default()
                .clamp(self.least, self.most)
        })
    }

    /// Checks a value for storing.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) `limit_out_of_bounds`.
    pub fn write(&self, value: u64) -> Result<i64, Error> {
        let Self {
            key, least, most, ..
        } = self;
        let within = (*least..=*most).contains(&value);
        within
            .then(|| i64::try_from(value).ok())
            .flatten()
            .ok_or_else(|| {
                let message = format!("`{key}` is set to {least} to {most}, not to {value}");
                Error::invalid("limit_out_of_bounds", message)
            })
    }
}
