/**
 * The emission table and the rules against Istio's own generator, on generated clusters. `CASES` is how many (500 unless given), `SEED`
 * where to begin; a disagreement prints the smallest cluster that shows it, both answers, and how to run it again.
 */
import fc from 'fast-check'
import { disagreements } from './agreement.ts'
import { type Case, cases, caseToYaml } from './generator.ts'
import { testWithOracle } from './with-oracle.ts'

const numRuns = Number(process.env.CASES ?? 500)
const seed = Number(process.env.SEED ?? 1)
/** A third of the cases at least must be ones of which no rule has anything to say. */
const leastClean = 1 / 3

await testWithOracle(`Istio's generator and we agree about ${numRuns} clusters`, async (t, oracle) => {
  const seen = new Map<string, number>()
  const note = (what: string) => seen.set(what, (seen.get(what) ?? 0) + 1)
  const agree = async (one: Case) => {
    const [first] = await disagreements(one, oracle, note)
    if (first !== undefined) throw new Error(first)
  }
  const { failed, counterexample, counterexamplePath, errorInstance } = await fc.check(fc.asyncProperty(cases, agree), {
    seed,
    numRuns,
    endOnFailure: false,
  })
  if (failed) {
    const [smallest] = counterexample as [Case]
    t.fail(
      `${(errorInstance as Error).message}\n\nin this cluster:\n\n${caseToYaml(smallest)}\n` +
        `again: SEED=${seed} CASES=${numRuns} npm run test:istio (the smallest is ${counterexamplePath})`,
    )
    return
  }
  t.pass(`seed ${seed}`)
  for (const [what, count] of [...seen].sort()) t.comment(`${count} ${what}`)
  t.ok((seen.get('clean') ?? 0) >= numRuns * leastClean, `${seen.get('clean')} of ${numRuns} are clean`)
})
