import type { Currency } from '../orders/advertisements.ts';
import type { OrderState } from '../orders/orders.ts';
import type { Language } from '../orders/parameters.ts';

/** The texts of the checkout in one language. */
export interface Texts {
  readonly htmlLang: string;
  readonly languageName: string;
  readonly languages: string;
  readonly title: string;
  readonly sandboxNotice: string;
  readonly currencies: Readonly<Record<Currency, string>>;
  readonly steps: readonly [transfer: string, confirm: string, release: string];
  readonly progress: string;
  readonly payTo: string;
  readonly orderDetails: string;
  readonly youPay: string;
  readonly youPaid: string;
  /** The label of the amount in an order that must not be paid any more. */
  readonly amount: string;
  readonly bank: string;
  readonly youReceive: string;
  readonly unitPrice: string;
  readonly method: string;
  /** Shown if the seller accepts several payment methods. */
  readonly chooseMethod: string;
  /** Names of the usual payment methods; another one is shown as the seller wrote it. */
  readonly methods: Readonly<Record<string, string>>;
  readonly payee: string;
  readonly account: string;
  readonly payer: string;
  readonly orderNumber: string;
  readonly transactionCode: string;
  readonly payBefore: string;
  readonly timeLeft: string;
  readonly minutesAndSeconds: (minutes: number, seconds: number) => string;
  readonly howTo: readonly string[];
  readonly paid: string;
  readonly cancel: string;
  readonly cancelWarning: string;
  readonly cancelConfirm: string;
  readonly states: Readonly<Record<OrderState, { readonly title: string; readonly text: string }>>;
  readonly notFound: string;
  readonly notFoundText: string;
}

export const TEXTS: Readonly<Record<Language, Texts>> = {
  en: {
    htmlLang: 'en',
    languageName: 'English',
    languages: 'Language',
    title: 'Buy MTC',
    sandboxNotice: 'Sandbox: no real money moves here.',
    currencies: { CNY: 'Chinese yuan', HKD: 'Hong Kong dollar', TWD: 'New Taiwan dollar' },
    steps: ['Transfer', 'Confirm', 'Release'],
    progress: 'Progress of this order',
    payTo: 'Pay to this account',
    orderDetails: 'Order details',
    youPay: 'Amount to pay',
    youPaid: 'Amount paid',
    amount: 'Order amount',
    bank: 'Bank',
    youReceive: 'MTC bought',
    unitPrice: 'Unit price',
    method: 'Payment method',
    chooseMethod: 'Use one of these, whichever suits you.',
    methods: {
      'bank transfer': 'Bank transfer',
      Alipay: 'Alipay',
      'WeChat Pay': 'WeChat Pay',
      FPS: 'FPS (Faster Payment System)',
    },
    payee: 'Payee',
    account: 'Account',
    payer: 'Payer',
    orderNumber: 'Order number',
    transactionCode: 'Transaction code',
    payBefore: 'Pay before',
    timeLeft: 'Time left to pay',
    minutesAndSeconds: (minutes, seconds) => `${minutes} min ${seconds} s`,
    howTo: [
      'Transfer exactly this amount, in one payment.',
      'Use an account in the payer’s own name.',
      'Then come back to this page and confirm.',
    ],
    paid: 'I have paid',
    cancel: 'Cancel the order',
    cancelWarning: 'If you have transferred the money already, do not cancel: the seller could no longer match it.',
    cancelConfirm: 'Yes, cancel this order',
    states: {
      WAITING: { title: 'Waiting for your payment', text: 'The price is held for you until the time is over.' },
      PAID: {
        title: 'Payment reported',
        text: 'The seller is checking it and will release the MTC in a moment. This page updates by itself.',
      },
      RELEASED: { title: 'Completed', text: 'The MTC have been released. You can close this page.' },
      CANCELLED: { title: 'Cancelled', text: 'This order was cancelled. Please do not pay for it any more.' },
      EXPIRED: {
        title: 'Expired',
        text: 'The time to pay is over. Please do not pay for this order any more. If you have paid already, turn to the merchant with the order number.',
      },
    },
    notFound: 'There is no such order.',
    notFoundText: 'Please open the link again exactly as you received it.',
  },
  zh_CN: {
    htmlLang: 'zh-CN',
    languageName: '简体中文',
    languages: '语言',
    title: '购买 MTC',
    sandboxNotice: '测试环境：此处不涉及任何真实资金。',
    currencies: { CNY: '人民币', HKD: '港币', TWD: '新台币' },
    steps: ['转账付款', '确认付款', '卖家放行'],
    progress: '订单进度',
    payTo: '收款账户',
    orderDetails: '订单详情',
    youPay: '应付金额',
    youPaid: '已付金额',
    amount: '订单金额',
    bank: '开户银行',
    youReceive: '购买数量',
    unitPrice: '单价',
    method: '付款方式',
    chooseMethod: '请任选以下一种方式付款。',
    methods: { 'bank transfer': '银行转账', Alipay: '支付宝', 'WeChat Pay': '微信支付', FPS: '转数快（FPS）' },
    payee: '收款人',
    account: '收款账号',
    payer: '付款人',
    orderNumber: '订单号',
    transactionCode: '交易编号',
    payBefore: '付款截止时间',
    timeLeft: '剩余付款时间',
    minutesAndSeconds: (minutes, seconds) => `${minutes} 分 ${seconds} 秒`,
    howTo: [
      '请一次性足额转账，金额须与应付金额完全一致。',
      '请使用付款人本人名下的账户付款。',
      '转账完成后，请返回本页点击确认。',
    ],
    paid: '我已付款',
    cancel: '取消订单',
    cancelWarning: '如果您已经转账，请勿取消订单，否则卖家将无法核对您的款项。',
    cancelConfirm: '确认取消订单',
    states: {
      WAITING: { title: '等待付款', text: '在付款时间结束前，价格将为您保留。' },
      PAID: { title: '已提交付款', text: '卖家正在核实，稍后将放行 MTC。本页面会自动更新。' },
      RELEASED: { title: '交易完成', text: 'MTC 已放行，您可以关闭此页面。' },
      CANCELLED: { title: '订单已取消', text: '此订单已取消，请勿再付款。' },
      EXPIRED: { title: '订单已超时', text: '付款时间已过，请勿再为此订单付款。如果您已经付款，请凭订单号联系商户。' },
    },
    notFound: '订单不存在。',
    notFoundText: '请使用您收到的完整链接重新打开。',
  },
  zh_TW: {
    htmlLang: 'zh-TW',
    languageName: '繁體中文',
    languages: '語言',
    title: '購買 MTC',
    sandboxNotice: '測試環境：此處不涉及任何真實資金。',
    currencies: { CNY: '人民幣', HKD: '港幣', TWD: '新臺幣' },
    steps: ['轉帳付款', '確認付款', '賣家放行'],
    progress: '訂單進度',
    payTo: '收款帳戶',
    orderDetails: '訂單明細',
    youPay: '應付金額',
    youPaid: '已付金額',
    amount: '訂單金額',
    bank: '收款銀行',
    youReceive: '購買數量',
    unitPrice: '單價',
    method: '付款方式',
    chooseMethod: '請任選以下一種方式付款。',
    methods: { 'bank transfer': '銀行轉帳', Alipay: '支付寶', 'WeChat Pay': '微信支付', FPS: '轉數快（FPS）' },
    payee: '收款人',
    account: '收款帳號',
    payer: '付款人',
    orderNumber: '訂單編號',
    transactionCode: '交易編號',
    payBefore: '付款期限',
    timeLeft: '剩餘付款時間',
    minutesAndSeconds: (minutes, seconds) => `${minutes} 分 ${seconds} 秒`,
    howTo: [
      '請一次足額轉帳，金額須與應付金額完全相符。',
      '請使用付款人本人名下的帳戶付款。',
      '轉帳完成後，請返回本頁點選確認。',
    ],
    paid: '我已付款',
    cancel: '取消訂單',
    cancelWarning: '若您已完成轉帳，請勿取消訂單，否則賣家將無法核對您的款項。',
    cancelConfirm: '確認取消訂單',
    states: {
      WAITING: { title: '等待付款', text: '在付款時間結束前，價格將為您保留。' },
      PAID: { title: '已提交付款', text: '賣家正在核實，稍後將放行 MTC。本頁面會自動更新。' },
      RELEASED: { title: '交易完成', text: 'MTC 已放行，您可以關閉此頁面。' },
      CANCELLED: { title: '訂單已取消', text: '此訂單已取消，請勿再付款。' },
      EXPIRED: { title: '訂單已逾時', text: '付款時間已過，請勿再為此訂單付款。若您已經付款，請憑訂單編號聯絡商家。' },
    },
    notFound: '訂單不存在。',
    notFoundText: '請使用您收到的完整連結重新開啟。',
  },
};
