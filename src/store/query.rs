//! Statements that say what their result is, and batches of them: `database.ask((one, another)).await?` yields a value
//! for each, of its own type. A result that is missing is a fault, never "no rows".

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::ports::{Argument, Database, DatabaseError, Fault, Rows, Stmt};

/// A statement, and what is read from its rows.
#[derive(Debug, Clone)]
pub struct Query<T> {
    stmt: Stmt,
    read: fn(Rows) -> Result<T, Fault>,
}

impl<T> Query<T> {
    /// The same statement, which may be carried out twice; see [`Stmt::idempotent`].
    #[must_use]
    pub fn idempotent(self) -> Self {
        Self { stmt: self.stmt.idempotent(), read: self.read }
    }

    /// The statement alone, for whoever explains it.
    pub fn stmt(&self) -> &Stmt {
        &self.stmt
    }
}

impl<T: DeserializeOwned> Query<Vec<T>> {
    /// Every row.
    pub fn all(sql: &'static str, args: impl Into<Vec<Argument>>) -> Self {
        Self { stmt: Stmt::new(sql, args), read: Rows::decode }
    }
}

impl<T: DeserializeOwned> Query<Option<T>> {
    /// The first row, if there is one.
    pub fn one(sql: &'static str, args: impl Into<Vec<Argument>>) -> Self {
        Self { stmt: Stmt::new(sql, args), read: Rows::first }
    }
}

impl Query<bool> {
    /// Whether there is any row: of a statement that changes something with `RETURNING`, whether it did.
    pub fn any(sql: &'static str, args: impl Into<Vec<Argument>>) -> Self {
        Self { stmt: Stmt::new(sql, args), read: |rows| Ok(!rows.0.is_empty()) }
    }
}

impl Query<i64> {
    /// The number in the column `total` of the only row.
    pub fn count(sql: &'static str, args: impl Into<Vec<Argument>>) -> Self {
        #[derive(Deserialize)]
        struct Total {
            total: i64,
        }
        let read = |rows: Rows| {
            let row: Option<Total> = rows.first()?;
            row.map(|row| row.total).ok_or_else(|| Fault::new("database", "no row for a count"))
        };
        Self { stmt: Stmt::new(sql, args), read }
    }
}

/// The results that have not been read yet, in the order of their statements.
pub struct Results(std::vec::IntoIter<Rows>);

impl Results {
    fn next(&mut self) -> Result<Rows, Fault> {
        self.0.next().ok_or_else(|| Fault::new("database", "no result for a statement"))
    }
}

/// Statements that go to the database together, and what is read from their results.
pub trait Batch {
    /// What the results are read as.
    type Answer;
    /// Reads them, once they are there.
    type Reader: Reader<Answer = Self::Answer>;

    /// Adds the statements to those of the batch.
    fn add_to(self, stmts: &mut Vec<Stmt>) -> Self::Reader;
}

/// Reads the results of statements; see [`Batch`].
pub trait Reader {
    /// What they are read as.
    type Answer;

    /// Takes the results of its own statements.
    fn read(self, results: &mut Results) -> Result<Self::Answer, Fault>;
}

impl Batch for () {
    type Answer = ();
    type Reader = ();

    fn add_to(self, _: &mut Vec<Stmt>) {}
}

impl Reader for () {
    type Answer = ();

    fn read(self, _: &mut Results) -> Result<(), Fault> {
        Ok(())
    }
}

impl<T> Batch for Query<T> {
    type Answer = T;
    type Reader = fn(Rows) -> Result<T, Fault>;

    fn add_to(self, stmts: &mut Vec<Stmt>) -> Self::Reader {
        stmts.push(self.stmt);
        self.read
    }
}

impl<T> Reader for fn(Rows) -> Result<T, Fault> {
    type Answer = T;

    fn read(self, results: &mut Results) -> Result<T, Fault> {
        self(results.next()?)
    }
}

/// Reads nothing from the result of a [`Stmt`].
pub struct Unread;

impl Batch for Stmt {
    type Answer = ();
    type Reader = Unread;

    fn add_to(self, stmts: &mut Vec<Stmt>) -> Unread {
        stmts.push(self);
        Unread
    }
}

impl Reader for Unread {
    type Answer = ();

    fn read(self, results: &mut Results) -> Result<(), Fault> {
        results.next().map(drop)
    }
}

impl<B: Batch> Batch for Vec<B> {
    type Answer = Vec<B::Answer>;
    type Reader = Vec<B::Reader>;

    fn add_to(self, stmts: &mut Vec<Stmt>) -> Self::Reader {
        self.into_iter().map(|batch| batch.add_to(stmts)).collect()
    }
}

impl<R: Reader> Reader for Vec<R> {
    type Answer = Vec<R::Answer>;

    fn read(self, results: &mut Results) -> Result<Self::Answer, Fault> {
        self.into_iter().map(|reader| reader.read(results)).collect()
    }
}

impl<B: Batch> Batch for Option<B> {
    type Answer = Option<B::Answer>;
    type Reader = Option<B::Reader>;

    fn add_to(self, stmts: &mut Vec<Stmt>) -> Self::Reader {
        self.map(|batch| batch.add_to(stmts))
    }
}

impl<R: Reader> Reader for Option<R> {
    type Answer = Option<R::Answer>;

    fn read(self, results: &mut Results) -> Result<Self::Answer, Fault> {
        self.map(|reader| reader.read(results)).transpose()
    }
}

impl<B: Batch, const N: usize> Batch for [B; N] {
    type Answer = [B::Answer; N];
    type Reader = [B::Reader; N];

    fn add_to(self, stmts: &mut Vec<Stmt>) -> Self::Reader {
        self.map(|batch| batch.add_to(stmts))
    }
}

impl<R: Reader, const N: usize> Reader for [R; N] {
    type Answer = [R::Answer; N];

    fn read(self, results: &mut Results) -> Result<Self::Answer, Fault> {
        let answers = self.map(|reader| reader.read(results)).into_iter().collect::<Result<Vec<_>, Fault>>()?;
        answers.try_into().map_err(|_| Fault::new("database", "no result for a statement"))
    }
}

macro_rules! batch {
    ($($part:ident)+) => {
        impl<$($part: Batch),+> Batch for ($($part,)+) {
            type Answer = ($($part::Answer,)+);
            type Reader = ($($part::Reader,)+);

            #[expect(non_snake_case, reason = "each part is named like its type")]
            fn add_to(self, stmts: &mut Vec<Stmt>) -> Self::Reader {
                let ($($part,)+) = self;
                ($($part.add_to(stmts),)+)
            }
        }

        impl<$($part: Reader),+> Reader for ($($part,)+) {
            type Answer = ($($part::Answer,)+);

            #[expect(non_snake_case, reason = "each part is named like its type")]
            fn read(self, results: &mut Results) -> Result<Self::Answer, Fault> {
                let ($($part,)+) = self;
                Ok(($($part.read(results)?,)+))
            }
        }
    };
}
batch!(A);
batch!(A B);
batch!(A B C);
batch!(A B C D);
batch!(A B C D E);
batch!(A B C D E F);
batch!(A B C D E F G);
batch!(A B C D E F G H);

impl dyn Database + '_ {
    /// Runs the statements in one transaction and one round trip, and reads what each of them yields.
    ///
    /// # Errors
    /// [`DatabaseError::Conflict`] when a unique constraint says no. A fault when the database fails, when a row is not
    /// what is expected, and when there is not one result for each statement.
    pub async fn ask<B: Batch>(&self, batch: B) -> Result<B::Answer, DatabaseError> {
        let mut stmts = Vec::new();
        let reader = batch.add_to(&mut stmts);
        read_all(reader, self.batch(stmts).await?)
    }

    /// The same for statements that only read, and whose answer may be behind what others have written a moment ago; see
    /// [`Database::batch_on_replica`].
    pub async fn ask_replica<B: Batch>(&self, batch: B) -> Result<B::Answer, DatabaseError> {
        let mut stmts = Vec::new();
        let reader = batch.add_to(&mut stmts);
        read_all(reader, self.batch_on_replica(stmts).await?)
    }
}

fn read_all<R: Reader>(reader: R, results: Vec<Rows>) -> Result<R::Answer, DatabaseError> {
    let mut results = Results(results.into_iter());
    let answer = reader.read(&mut results)?;
    match results.0.next() {
        None => Ok(answer),
        Some(_) => Err(Fault::new("database", "more results than statements").into()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;
    use crate::ports::BoxFuture;

    /// A database that yields these results, whatever it is asked.
    struct Canned(Vec<Rows>);

    impl Database for Canned {
        fn batch(&self, _: Vec<Stmt>) -> BoxFuture<'_, Result<Vec<Rows>, DatabaseError>> {
            Box::pin(async { Ok(self.0.clone()) })
        }
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Named {
        name: String,
    }

    fn rows(column: &str, values: &[serde_json::Value]) -> Rows {
        let row = |value: &serde_json::Value| Map::from_iter([(column.to_owned(), value.clone())]);
        Rows(values.iter().map(row).collect())
    }

    fn named(name: &str) -> Named {
        Named { name: name.to_owned() }
    }

    #[tokio::test]
    async fn each_result_is_read_as_its_statement_says() {
        let names = rows("name", &[json!("a"), json!("b")]);
        let canned = Canned(vec![
            names.clone(),
            Rows::default(),
            rows("id", &[json!(1)]),
            rows("total", &[json!(7)]),
            names.clone(),
            names,
        ]);
        let database: &dyn Database = &canned;
        let all = || Query::<Vec<Named>>::all("…", []);
        let batch = (
            all(),
            Stmt::new("…", []),
            (Query::any("…", []), Query::count("…", [])),
            [Query::<Option<Named>>::one("…", [])],
            Some(all()),
            None::<Stmt>,
        );
        let (first, (), (changed, total), [one], some, none) = database.ask(batch).await.expect("answers");
        assert_eq!(first, [named("a"), named("b")]);
        assert_eq!((changed, total, one), (true, 7, Some(named("a"))));
        assert_eq!((some, none), (Some(first), None));
    }

    #[tokio::test]
    async fn a_result_too_few_or_too_many_is_a_fault_and_so_is_a_count_without_a_row() {
        let few = Canned(vec![Rows::default()]);
        let database: &dyn Database = &few;
        assert!(database.ask((Query::any("…", []), Query::any("…", []))).await.is_err());
        assert!(database.ask(Query::count("…", [])).await.is_err());
        let many = Canned(vec![Rows::default(), Rows::default()]);
        let database: &dyn Database = &many;
        assert!(database.ask(Query::any("…", [])).await.is_err());
        assert!(database.ask(Vec::<Stmt>::new()).await.is_err());
    }

    #[tokio::test]
    async fn a_row_that_is_something_else_is_a_fault() {
        let canned = Canned(vec![rows("name", &[json!(1)])]);
        let database: &dyn Database = &canned;
        assert!(database.ask(Query::<Vec<Named>>::all("…", [])).await.is_err());
    }
}
