/** A Kubernetes label selector. */
export type LabelSelector = {
  matchLabels?: Readonly<Record<string, string>>
  matchExpressions?: readonly {
    key: string
    operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist'
    values?: readonly string[]
  }[]
}

/** Whether a selector matches labels, as the API server reads it: an empty one matches everything, NotIn also an absent key. */
export const matchesLabels = (
  { matchLabels = {}, matchExpressions = [] }: LabelSelector,
  labels: ReadonlyMap<string, string>,
): boolean =>
  Object.entries(matchLabels).every(([key, value]) => labels.get(key) === value) &&
  matchExpressions.every(({ key, operator, values = [] }) => {
    const value = labels.get(key)
    switch (operator) {
      case 'In':
        return value !== undefined && values.includes(value)
      case 'NotIn':
        return value === undefined || !values.includes(value)
      case 'Exists':
        return value !== undefined
      case 'DoesNotExist':
        return value === undefined
    }
  })

/** A pattern for names, in which `*` stands for any characters. */
export const namePattern = (pattern: string): RegExp =>
  new RegExp(
    `^${pattern
      .split('*')
      .map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'))
      .join('.*')}$`,
  )
