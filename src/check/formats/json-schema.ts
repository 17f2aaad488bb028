const text = (description: string) => ({ description, type: 'string' })

const count = (description: string) => ({ description, type: 'integer', minimum: 0 })

const ordinal = (description: string) => ({ description, type: 'integer', minimum: 1 })

const source = text('The path of the file as it was given, or stdin.')

/** The JSON Schema of what format json writes. Fields may be added to meshvip.dev/v1; none is renamed, changes its type or goes. */
export const checkReportSchema = {
  $schema: 'http://json-schema.org/draft-07/schema#',
  title: 'What meshvip check finds',
  type: 'object',
  required: ['apiVersion', 'kind', 'issues', 'unreadable', 'summary'],
  properties: {
    apiVersion: { const: 'meshvip.dev/v1' },
    kind: { const: 'CheckReport' },
    issues: {
      description: 'What was found, by source in the order given, and there by line and column.',
      type: 'array',
      items: {
        type: 'object',
        required: [
          'severity',
          'rule',
          'page',
          'source',
          'line',
          'column',
          'endColumn',
          'object',
          'field',
          'about',
          'problem',
          'reason',
          'fix',
        ],
        properties: {
          severity: {
            description:
              'error: the webhook would refuse the object. warning: it would warn. note: it would only record.',
            enum: ['error', 'warning', 'note'],
          },
          rule: text('The id of the rule; one that begins with manifest- judges manifests, and no cluster sees it.'),
          page: text("The rule's page; meshvip explain shows it as well."),
          source,
          line: ordinal('The line in which it stands, from 1.'),
          column: ordinal('The column in which it begins, from 1, in UTF-16 code units.'),
          endColumn: ordinal('The column behind it.'),
          object: text('Kind, namespace and name: VirtualService shop/orders.'),
          field: text("Its path in Kubernetes' notation: spec.http[0].match[0].port."),
          about: text(
            'What it is about, by name: with rule and object it tells whether another report has the same issue.',
          ),
          problem: text('What is wrong.'),
          reason: text('Why it fails.'),
          fix: text('What to type.'),
          note: text('Why the object would not be refused although the rule refuses.'),
        },
      },
    },
    unreadable: {
      description: 'What could not be read, and so was not checked.',
      type: 'array',
      items: {
        type: 'object',
        required: ['source', 'line', 'column', 'problem'],
        properties: { source, line: ordinal('From 1.'), column: ordinal('From 1.'), problem: text('Why.') },
      },
    },
    summary: {
      type: 'object',
      required: ['errors', 'warnings', 'notes', 'unreadable', 'judged', 'objects'],
      properties: {
        errors: count('How many issues are errors.'),
        warnings: count('How many issues are warnings.'),
        notes: count('How many issues are notes.'),
        unreadable: count('How many documents could not be read.'),
        judged: count('How many Services and VirtualServices there were.'),
        objects: count('How many objects there were that rules judge or ask about.'),
      },
    },
  },
} as const
