import fc from 'fast-check'
import t from 'tap'
import { NamePattern } from '../../src/rules/name-pattern.ts'

const names: [pattern: string, name: string, expected: boolean][] = [
  ['*', '', true],
  ['*', 'anything', true],
  ['orders', 'orders', true],
  ['orders', 'orders-2', false],
  ['orders-*', 'orders-2', true],
  ['*-test-*', 'a-test-b', true],
  ['a.b', 'axb', false],
  ['(a|b)+', 'a', false],
  ['ab*ba', 'aba', false],
  ['*ab*ab*', 'ab-a', false],
  ['*ab*ab*', 'abab', true],
  ['a*b*c', 'a-c-b-c', true],
]
for (const [pattern, name, expected] of names)
  t.equal(new NamePattern(pattern).test(name), expected, `${pattern} ${name}`)

t.test('a pattern matches what the regular expression would', async () => {
  const text = (...characters: string[]) => fc.string({ unit: fc.constantFrom(...characters), maxLength: 12 })
  fc.assert(
    fc.property(text('a', 'b', '*'), text('a', 'b'), (pattern, name) => {
      const expected = new RegExp(`^${pattern.replaceAll(/\*+/g, '.*')}$`).test(name)
      return new NamePattern(pattern).test(name) === expected
    }),
    { numRuns: 2_000 },
  )
})

t.test('many asterisks are no work', async (t) => {
  t.equal(new NamePattern(`${'*'.repeat(50)}x`).test('a'.repeat(253)), false)
  t.equal(new NamePattern(`${'*-'.repeat(20)}x`).test('-'.repeat(253)), false)
})
