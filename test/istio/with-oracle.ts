import t, { type Test } from 'tap'
import { findOrBuildOracle, type Oracle, startOracle } from './oracle.ts'

/** Runs a test with the routing oracle. Skips it where there is none: the runner says so before it comes to that. */
export const testWithOracle = async (story: string, run: (t: Test, oracle: Oracle) => Promise<void>): Promise<void> => {
  const binary = await findOrBuildOracle((line) => t.comment(line))
  if (typeof binary !== 'string') {
    await t.test(story, { skip: binary.missing }, async () => {})
    return
  }
  await t.test(story, async (t) => {
    const oracle = startOracle(binary)
    try {
      await run(t, oracle)
    } finally {
      await oracle.close()
    }
  })
}
