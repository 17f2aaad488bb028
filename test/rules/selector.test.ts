import t from 'tap'
import { type LabelSelector, matchesLabels, namePattern } from '../../src/rules/selector.ts'

const labels = new Map([
  ['team', 'orders'],
  ['env', 'test'],
])

const expression = (
  key: string,
  operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist',
  values?: string[],
): LabelSelector => ({
  matchExpressions: [{ key, operator, ...(values === undefined ? {} : { values }) }],
})

const rows: [selector: LabelSelector, expected: boolean][] = [
  [{}, true],
  [{ matchLabels: { team: 'orders' } }, true],
  [{ matchLabels: { team: 'orders', env: 'live' } }, false],
  [{ matchLabels: { toString: 'x' } }, false],
  [expression('team', 'In', ['orders', 'pay']), true],
  [expression('team', 'In', ['pay']), false],
  [expression('team', 'In'), false],
  [expression('none', 'In', ['orders']), false],
  [expression('team', 'NotIn', ['pay']), true],
  [expression('team', 'NotIn', ['orders']), false],
  [expression('none', 'NotIn', ['orders']), true],
  [expression('team', 'Exists'), true],
  [expression('none', 'Exists'), false],
  [expression('none', 'DoesNotExist'), true],
  [expression('team', 'DoesNotExist'), false],
  [{ matchLabels: { team: 'orders' }, ...expression('env', 'In', ['live']) }, false],
]
for (const [selector, expected] of rows) t.equal(matchesLabels(selector, labels), expected, JSON.stringify(selector))

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
