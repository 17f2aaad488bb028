import t from 'tap'
import { type LabelSelector, matchesLabels } from '../../src/api/label-selector.ts'

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
