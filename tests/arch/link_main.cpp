// SPDX-License-Identifier: BSD-3-Clause
// The program of every link test. It does nothing: linking it with one whole room is the test.

int main() { return 0; }
