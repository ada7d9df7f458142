//! Floor 7, the program as a whole: build, bind, run, drain.
