import type { Test } from 'tap'

/** Until the test ends, the environment has these variables and not these. */
export const withEnvironment = (t: Test, variables: Record<string, string | undefined>): void => {
  const { ...before } = process.env
  const set = (values: Record<string, string | undefined>) => {
    for (const name of Object.keys(variables)) {
      if (values[name] === undefined) delete process.env[name]
      else process.env[name] = values[name]
    }
  }
  set(variables)
  t.teardown(() => set(before))
}
