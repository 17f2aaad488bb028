import { readdir } from 'node:fs/promises'
import t from 'tap'
import { rules } from '../../src/rules/index.ts'
import { readRuleFixtures } from '../fixtures/rules.ts'

const { rules: fixtures } = await readRuleFixtures()

await t.test('every rule has fixtures, and every fixture a rule', async (t) => {
  const folders = (await readdir('test/fixtures/rules', { withFileTypes: true }))
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
  t.strictSame(folders.sort(), rules.map(({ id }) => id).sort())
})

for (const { id, action, badVerdict, goodVerdict } of fixtures) {
  t.strictSame(
    badVerdict.outcomes.map((outcome) => `${outcome.rule}: ${outcome.action}`),
    [`${id}: ${action}`],
    `${id} refuses its bad manifest, or warns of it, as it does by default, and no other rule has anything to say of it`,
  )
  const expected =
    id === 'service-vip-missing' ? [] : goodVerdict.outcomes.filter(({ rule }) => rule === 'service-vip-missing')
  t.strictSame(goodVerdict.outcomes, expected, `${id} has nothing to say of its good manifest, nor has any other rule`)
}
