import { type ScalarTag, Schema } from 'yaml'

/** A number as Go's parser reads it, octal ones with a mere 0 before them; any other text as it is. */
const readNumber = (text: string): number | string => {
  const plain = text.startsWith('.') ? text : text.replaceAll('_', '')
  const [, sign = '', digits = ''] = /^([-+]?)(.*)$/.exec(plain) as RegExpExecArray
  const negative = sign === '-' ? -1 : 1
  if (/^0[0-7]+$/.test(digits)) return negative * Number.parseInt(digits, 8)
  if (/^0(b[01]+|o[0-7]+|x[\da-f]+)$/i.test(digits)) return negative * Number(digits)
  const value = /^(\.\d+|\d+(\.\d*)?)(e[-+]?\d+)?$/i.test(digits) ? Number(plain) : Number.NaN
  return Number.isFinite(value) ? value : text
}

const number = (type: 'int' | 'float'): ScalarTag => ({
  tag: `tag:yaml.org,2002:${type}`,
  default: true,
  test: /^[-+.]?\d|^[-+]\.\d/,
  resolve: readNumber,
})

const boolean: ScalarTag = {
  tag: 'tag:yaml.org,2002:bool',
  default: true,
  test: /^(y|Y|yes|Yes|YES|true|True|TRUE|on|On|ON|n|N|no|No|NO|false|False|FALSE|off|Off|OFF)$/,
  resolve: (text) => /^(y|t|on)/i.test(text),
}

/**
 * How to parse YAML so that it is what kubectl, Helm and kustomize send: they still read YAML 1.1 (sigs.k8s.io/yaml 1.6,
 * goyaml.v2/resolve.go), in which `on` is true, 010 is 8 and `<<` merges. Times stay texts, as they do there.
 */
export const asKubectlReads = {
  schema: new Schema({ schema: 'failsafe', customTags: ['null', boolean, number('int'), number('float'), 'merge'] }),
  // What is a mere warning belongs to what is read, and not on the terminal.
  logLevel: 'error',
} as const
