"""Own C++ kernels: a step of the whole network on a CPU. Built once for each machine, where it has a compiler."""
