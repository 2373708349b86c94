// SPDX-License-Identifier: BSD-3-Clause
// Names for clang's thread-safety analysis; nothing on other compilers.
#pragma once

#if defined(__clang__)
#define DAXSIM_TSA(x) __attribute__((x))
#else
#define DAXSIM_TSA(x)
#endif

#define DAXSIM_CAPABILITY(name) DAXSIM_TSA(capability(name))
#define DAXSIM_SCOPED_CAPABILITY DAXSIM_TSA(scoped_lockable)
#define DAXSIM_GUARDED_BY(lock) DAXSIM_TSA(guarded_by(lock))
#define DAXSIM_PT_GUARDED_BY(lock) DAXSIM_TSA(pt_guarded_by(lock))
#define DAXSIM_REQUIRES(...) DAXSIM_TSA(requires_capability(__VA_ARGS__))
#define DAXSIM_REQUIRES_SHARED(...) DAXSIM_TSA(requires_shared_capability(__VA_ARGS__))
#define DAXSIM_ACQUIRE(...) DAXSIM_TSA(acquire_capability(__VA_ARGS__))
#define DAXSIM_ACQUIRE_SHARED(...) DAXSIM_TSA(acquire_shared_capability(__VA_ARGS__))
#define DAXSIM_RELEASE(...) DAXSIM_TSA(release_capability(__VA_ARGS__))
#define DAXSIM_RELEASE_SHARED(...) DAXSIM_TSA(release_shared_capability(__VA_ARGS__))
#define DAXSIM_RELEASE_GENERIC(...) DAXSIM_TSA(release_generic_capability(__VA_ARGS__))
#define DAXSIM_TRY_ACQUIRE(...) DAXSIM_TSA(try_acquire_capability(__VA_ARGS__))
#define DAXSIM_EXCLUDES(...) DAXSIM_TSA(locks_excluded(__VA_ARGS__))
#define DAXSIM_ASSERT_CAPABILITY(x) DAXSIM_TSA(assert_capability(x))
#define DAXSIM_RETURN_CAPABILITY(x) DAXSIM_TSA(lock_returned(x))
#define DAXSIM_NO_THREAD_SAFETY_ANALYSIS DAXSIM_TSA(no_thread_safety_analysis)
