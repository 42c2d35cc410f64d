//! How PEFT's settings name matrices: by the end of a path, or by a regular expression.

use super::settings::Names;
use crate::error::Error;
use crate::limits;
use regex::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// The matrices that an adapter changes.
#[derive(Debug)]
pub(super) enum Targets {
    /// Those whose path is one of these, or ends with one after a point.
    Ends(Vec<String>),
    /// Those whose whole path fits.
    Fitting(Regex),
    /// All but the head.
    Linear,
}

impl Targets {
    /// # Errors
    /// [`Error::Adapter`] if there are none, or an expression cannot be used.
    pub fn new(names: Option<Names>) -> Result<Self, Error> {
        match names {
            Some(Names::Several(names)) => Ok(Self::Ends(names)),
            Some(Names::One(name)) if name.eq_ignore_ascii_case("all-linear") => Ok(Self::Linear),
            Some(Names::One(expression)) => {
                let built = RegexBuilder::new(&format!("^(?:{expression})$"))
                    .size_limit(limits::PATTERN_BYTES)
                    .build();
                built.map(Self::Fitting).map_err(|error| unusable("target_modules", &error))
            }
            None => Err(Error::Adapter("adapter_config.json has no target_modules: PEFT writes them".into())),
        }
    }

    /// True if `module`, a path such as `model.layers.0.mlp.up_proj`, is one of them.
    pub fn contain(&self, module: &str) -> bool {
        match self {
            Self::Ends(names) => names.iter().any(|name| ends_with(module, name)),
            Self::Fitting(expression) => expression.is_match(module),
            Self::Linear => module != "lm_head",
        }
    }
}

fn ends_with(module: &str, name: &str) -> bool {
    module.strip_suffix(name).is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

fn unusable(field: &str, error: &regex::Error) -> Error {
    Error::Adapter(format!(
        "{field} in adapter_config.json cannot be used: {error}; write it without what only Python knows"
    ))
}

/// Values for some matrices: of the expressions that fit the end of a path, from its beginning or from a point on, the first
/// counts.
#[derive(Debug)]
pub(super) struct Patterns<T> {
    expressions: RegexSet,
    values: Vec<T>,
}

impl<T> Patterns<T> {
    /// `field` is what holds them.
    ///
    /// # Errors
    /// [`Error::Adapter`] if an expression cannot be used, or all of them are too long.
    pub fn new(field: &str, Ordered(entries): Ordered<T>) -> Result<Self, Error> {
        let (names, values): (Vec<String>, Vec<T>) = entries.into_iter().unzip();
        let expressions = names.iter().map(|name| format!("^(?:.*\\.)?(?:{name})$"));
        let built = RegexSetBuilder::new(expressions).size_limit(limits::PATTERN_BYTES).build();
        Ok(Self { expressions: built.map_err(|error| unusable(field, &error))?, values })
    }

    pub fn all(&self) -> impl Iterator<Item = &T> {
        self.values.iter()
    }

    pub fn of(&self, module: &str) -> Option<&T> {
        self.expressions.matches(module).iter().next().and_then(|first| self.values.get(first))
    }
}

/// An object of JSON, in its order.
#[derive(Debug)]
pub(super) struct Ordered<T>(Vec<(String, T)>);

impl<T> Default for Ordered<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Ordered<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = Ordered<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ordered<T>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Ordered(entries))
            }
        }

        deserializer.deserialize_map(Entries(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows: what the settings name, a path, whether it is meant, why.
    #[test]
    fn targets_are_ends_of_paths_or_whole_expressions() {
        let several = |names: &[&str]| Names::Several(names.iter().map(|name| (*name).to_owned()).collect());
        let one = |name: &str| Names::One(name.to_owned());
        let up = "model.layers.10.mlp.up_proj";
        let rows = [
            (several(&["q_proj", "up_proj"]), up, true, "its last name"),
            (several(&["mlp.up_proj"]), up, true, "its last two"),
            (several(&["p_proj"]), up, false, "half a name"),
            (several(&[up]), up, true, "all of it"),
            (several(&[]), up, false, "nothing"),
            (several(&[".*up_proj"]), up, false, "expressions only count by themselves"),
            (one(r".*\.(up|down)_proj"), up, true, "an expression"),
            (one("up_proj"), up, false, "has to fit all of it"),
            (one(r"model\.layers\.1\..*"), up, false, "another layer"),
            (one("all-linear"), up, true, "everything"),
            (one("ALL-LINEAR"), "lm_head", false, "but the head"),
        ];
        for (names, module, expected, why) in rows {
            assert_eq!(Targets::new(Some(names)).unwrap().contain(module), expected, "{why}");
        }
        assert!(Targets::new(None).is_err());
    }

    #[test]
    fn expressions_take_bounded_memory() {
        let endless = "(?:a{1000}){1000}".to_owned();
        assert!(Targets::new(Some(Names::One(endless.clone()))).is_err());
        assert!(Patterns::new("rank_pattern", Ordered(vec![(endless, 1)])).is_err());
        // What PEFT writes of a large model: an entry for each of its matrices.
        let names = (0..700).map(|number| (format!("model.layers.{number}.self_attn.q_proj"), number));
        let patterns = Patterns::new("rank_pattern", Ordered(names.collect())).unwrap();
        assert_eq!(patterns.of("model.layers.650.self_attn.q_proj"), Some(&650));
    }
}
