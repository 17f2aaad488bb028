import t from 'tap'
import { namePattern } from '../../src/rules/name-pattern.ts'

const names: [pattern: string, name: string, expected: boolean][] = [
  ['*', '', true],
  ['*', 'anything', true],
  ['orders', 'orders', true],
  ['orders', 'orders-2', false],
  ['orders-*', 'orders-2', true],
  ['*-test-*', 'a-test-b', true],
  ['a.b', 'axb', false],
  ['(a|b)+', 'a', false],
]
for (const [pattern, name, expected] of names) t.equal(namePattern(pattern).test(name), expected, `${pattern} ${name}`)
