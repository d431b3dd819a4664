//! Every kernel at every instruction level of this processor and with 1, 2 and 3 threads, against a
//! statement of the same mathematics in f64; every backward pass against central differences of that.

mod attention;
mod cached;
mod eight_bit;
mod loss;
mod nf4;
mod norm;
mod optim;
mod products;
mod refusals;
mod rows;
mod sharing;
mod support;
