/** A Kubernetes label selector. */
export type LabelSelector = {
  matchLabels?: Readonly<Record<string, string>>
  matchExpressions?: readonly {
    key: string
    operator: Operator
    values?: readonly string[]
  }[]
}

type Operator = 'In' | 'NotIn' | 'Exists' | 'DoesNotExist'

/** What each operator asks of a label, which is undefined where it is absent. */
const operators: { readonly [O in Operator]: (value: string | undefined, values: readonly string[]) => boolean } = {
  In: (value, values) => value !== undefined && values.includes(value),
  NotIn: (value, values) => value === undefined || !values.includes(value),
  Exists: (value) => value !== undefined,
  DoesNotExist: (value) => value === undefined,
}

/** Whether a selector matches labels, as the API server reads it: an empty one matches everything, NotIn also an absent key. */
export const matchesLabels = (
  { matchLabels = {}, matchExpressions = [] }: LabelSelector,
  labels: ReadonlyMap<string, string>,
): boolean =>
  Object.entries(matchLabels).every(([key, value]) => labels.get(key) === value) &&
  matchExpressions.every(({ key, operator, values = [] }) => operators[operator](labels.get(key), values))
