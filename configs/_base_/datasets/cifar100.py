# CIFAR-100, augmented like CIFAR-10.
_base_ = './cifar10.py'

data_root = 'data/cifar100'  # it holds cifar-100-python
other = dict(type='CIFAR100Dataset', data_root=data_root)

train_dataloader = dict(dataset=other)
val_dataloader = dict(dataset=other)
test_dataloader = dict(dataset=other)
